"""Seconds per step of a recipe here and in PyTorch on the CPU: the same model, batch and threads.

    python scripts/compare_training.py [--recipe nanogpt-shakespeare-cpu] [--threads 2] [--compile]

PyTorch's side is written as nanoGPT is: LayerNorm, fused attention (scaled_dot_product_attention),
GELU, cross-entropy, fused AdamW. `--compile` puts torch.compile around it, which needs a C++
compiler. Both run in turn, several rounds; the best round of each counts.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from zigllm_cli.train.network import Network, single_threaded_blas
from zigllm_cli.train.settings import Settings, read_recipe
from zigllm_cli.train.shape import Shape

VOCABULARY = 65


class Block(nn.Module):
    """A block of GPT-2."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.heads = s.heads
        self.attn_norm = nn.LayerNorm(s.width, bias=s.bias)
        self.qkv = nn.Linear(s.width, 3 * s.width, bias=s.bias)
        self.output = nn.Linear(s.width, s.width, bias=s.bias)
        self.ffn_norm = nn.LayerNorm(s.width, bias=s.bias)
        self.up = nn.Linear(s.width, s.ff, bias=s.bias)
        self.down = nn.Linear(s.ff, s.width, bias=s.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, c = x.shape
        parts = self.qkv(self.attn_norm(x)).split(c, dim=2)
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in parts)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(functional.gelu(self.up(self.ffn_norm(x)), approximate="tanh"))


class GPT(nn.Module):
    """GPT-2 with a tied output matrix."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(s.vocabulary, s.width)
        self.positions = nn.Embedding(s.context, s.width)
        self.blocks = nn.ModuleList(Block(s) for _ in range(s.layers))
        self.norm = nn.LayerNorm(s.width, bias=s.bias)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.norm(x) @ self.tokens.weight.T
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def batches(s: Settings, count: int) -> list[np.ndarray]:
    """Random tokens: what they are does not change the time."""
    generator = np.random.default_rng(0)
    shape = (count, s.batch, s.context + 1)
    return list(generator.integers(0, VOCABULARY, shape).astype(np.int32))


class Ours:
    """This program."""

    def __init__(self, s: Settings, threads: int) -> None:
        self.settings, self.number = s, 0
        self.network = Network.fresh(s.shape(VOCABULARY), 1, threads)

    def step(self, data: np.ndarray) -> None:
        tokens, targets = data[:, :-1], data[:, 1:]
        self.number += 1
        self.network.learn(tokens, targets, factor=1 / tokens.size, dropout=0.0, key=0, more=False)
        self.network.step(self.settings, self.number, 1e-3)


class Theirs:
    """PyTorch."""

    def __init__(self, s: Settings, threads: int, *, compiled: bool) -> None:
        torch.set_num_threads(threads)
        self.model = GPT(s.shape(VOCABULARY))
        self.run = torch.compile(self.model) if compiled else self.model
        betas = (s.beta1, s.beta2)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), 1e-3, betas, weight_decay=s.weight_decay, fused=True
        )
        self.clip = s.clip

    def step(self, data: np.ndarray) -> None:
        whole = torch.from_numpy(data.astype(np.int64))
        loss = self.run(whole[:, :-1], whole[:, 1:].contiguous())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()


def seconds_per_step(side: Ours | Theirs, data: list[np.ndarray]) -> float:
    """The mean over the batches."""
    with single_threaded_blas() if isinstance(side, Ours) else nullcontext():
        start = perf_counter()
        for each in data:
            side.step(each)
        return (perf_counter() - start) / len(data)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="nanogpt-shakespeare-cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    s = read_recipe(options.recipe).settings
    sides: dict[str, Ours | Theirs] = {"zigllm": Ours(s, options.threads)}
    sides["torch, eager"] = Theirs(s, options.threads, compiled=False)
    if options.compile:
        sides["torch, compiled"] = Theirs(s, options.threads, compiled=True)
    best = dict.fromkeys(sides, float("inf"))
    data = batches(s, options.steps)
    for side in sides.values():
        seconds_per_step(side, data[:3])
    for _ in range(options.rounds):
        for name, side in sides.items():
            best[name] = min(best[name], seconds_per_step(side, data))
    for name, seconds in best.items():
        rate = s.batch * s.context / seconds
        print(f"{name:16} {1000 * seconds:8.2f} ms per step {rate:9,.0f} tokens/s")


if __name__ == "__main__":
    main()
