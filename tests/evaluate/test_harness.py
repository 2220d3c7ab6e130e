"""The adapter for lm-eval, with tasks and texts of its own and without the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_model import RANDOM

from zigllm_cli.model import Model

pytestmark = pytest.mark.extra

CHOICE_TASK = """
task: own_choice
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""

TASKS = [
    {"prompt": "hear me", "choices": ["speak", "before", "naïve and"], "answer": 0},
    {"prompt": "Before we", "choices": ["proceed any further", "hear"], "answer": 1},
    {"prompt": "Before we", "choices": ["speak", "me"], "answer": 1},
]


@pytest.fixture(scope="module")
def adapter() -> Any:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed (extra `eval`)")
    from zigllm_cli.evaluate.harness import ZigllmLM

    return ZigllmLM(RANDOM, threads=1, kv_type="f32")


class Request:
    """What the harness hands over."""

    def __init__(self, *args: Any) -> None:
        self.args = args


def test_loglikelihood(
    adapter: Any, log_probs_of: Callable[[Model, list[int]], np.ndarray]
) -> None:
    pairs = [
        ("hear me", " speak"),
        ("Before we proceed", " any further, hear me speak"),
        ("hear me", " further"),
        ("", "speak"),
        ("hear me ", "speak"),
    ]
    found = adapter.loglikelihood([Request(*pair) for pair in pairs], disable_tqdm=True)
    for (context, continuation), (value, is_greedy) in zip(pairs, found, strict=True):
        if context:
            tokens = adapter.model.tokenizer.encode(context + continuation)
            count = len(tokens) - len(adapter.model.tokenizer.encode(context.rstrip()))
        else:
            own = adapter.tok_encode(continuation, add_special_tokens=False)
            tokens, count = [adapter.prefix_token_id, *own], len(own)
        wanted = log_probs_of(adapter.model, tokens)[-count:]
        assert value == pytest.approx(wanted.sum(), rel=2e-3)  # Q4_K: few tokens or many
        assert not is_greedy
    context = adapter.tok_encode("hear me")
    adapter._session.truncate(0)
    best = int(adapter._session.eval(context).argmax())
    asked = [(("", ""), context, [token]) for token in (best, best - 1)]
    assert [greedy for _, greedy in adapter._loglikelihood_tokens(asked, True)] == [True, False]


def test_rolling(adapter: Any, log_probs_of: Callable[[Model, list[int]], np.ndarray]) -> None:
    text = "hear me speak. " * 10
    (found,) = adapter.loglikelihood_rolling([Request(text)], disable_tqdm=True)
    tokens = [adapter.prefix_token_id, *adapter.tok_encode(text, add_special_tokens=False)]
    assert found == pytest.approx(log_probs_of(adapter.model, tokens).sum(), rel=1e-3)
    (long,) = adapter.loglikelihood_rolling([Request(text * 9)], disable_tqdm=True)
    assert long < found


def test_generation(adapter: Any) -> None:
    whole = "".join(adapter.model.generate("hear me", max_tokens=20, temperature=0))
    plain, cut = adapter.generate_until(
        [
            Request("hear me", {"until": [], "max_gen_toks": 20}),
            Request("hear me", {"until": [whole[5:8]], "max_gen_toks": 20}),
        ],
        disable_tqdm=True,
    )
    assert plain == whole
    assert cut == whole[: whole.index(whole[5:8])]


def test_the_command_line_with_a_local_task(tmp_path: Path, adapter: Any) -> None:
    data = tmp_path / "tasks.jsonl"
    data.write_text("".join(json.dumps(task) + "\n" for task in TASKS), "utf-8")
    (tmp_path / "own_choice.yaml").write_text(CHOICE_TASK.format(data=data))
    command = [sys.executable, "-P", "-m", "zigllm_cli.lm_eval", "run", "--model", "zigllm"]
    command += ["--model_args", f"pretrained={RANDOM},threads=1", "--tasks", "own_choice"]
    command += ["--include_path", str(tmp_path), "--output_path", str(tmp_path / "out")]
    offline = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    done = subprocess.run(
        command, env={**os.environ, **offline}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = (tmp_path / "out").rglob("results*.json")
    scores = json.loads(results.read_text())["results"]["own_choice"]
    right = 0
    for task in TASKS:
        pairs = [Request(task["prompt"], " " + choice) for choice in task["choices"]]
        values = [value for value, _ in adapter.loglikelihood(pairs, disable_tqdm=True)]
        right += int(np.argmax(values)) == task["answer"]
    assert scores["acc,none"] == pytest.approx(right / len(TASKS))
