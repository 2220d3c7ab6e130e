"""SentencePiece BPE: cutting the text into pieces never changes what the merges give."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zigllm_cli.tokenizers import from_metadata
from zigllm_cli.tokenizers.merging import PairMerger
from zigllm_cli.tokenizers.spm import SentencePieceTokenizer
from zigllm_cli.tokenizers.vocabulary import TokenType, Vocabulary

SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def metadata(pieces: list[str], scores: list[float], **flags: Any) -> dict[str, Any]:
    tokens = [*SPECIAL, *BYTES, *pieces]
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    types += [TokenType.BYTE] * 256 + [TokenType.NORMAL] * len(pieces)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [*map(int, types)],
        "tokenizer.ggml.scores": [0.0] * 259 + scores,
        **{f"tokenizer.ggml.{key}": value for key, value in flags.items()},
    }


def tokenizer(pieces: list[str], scores: list[float] | None = None, **flags: Any) -> Any:
    scores = [-float(i) for i in range(len(pieces))] if scores is None else scores
    return from_metadata(metadata(pieces, scores, **flags))


pieces = st.lists(st.text("ab.\n▁", min_size=1, max_size=5), unique=True, min_size=1, max_size=25)


@given(pieces, st.data())
def test_pieces_give_what_the_whole_text_gives(words: list[str], data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.integers(-5, 0), min_size=len(words), max_size=len(words)))
    text = data.draw(st.text("ab. \n", max_size=30))
    model = tokenizer(words, [float(score) for score in scores])
    order = {score: at for at, score in enumerate(sorted({0, *scores}, reverse=True))}
    table = {t: order[s] for t, s in zip([*SPECIAL, *BYTES], [0] * 259, strict=True)}
    table |= {t: order[s] for t, s in zip(words, scores, strict=True)}
    whole = PairMerger(table, "").merge((" " + text).replace(" ", "▁") if text else "")
    found = [
        symbol
        for piece in (model.pre_tokens(text, after_special=True) if text else [])
        for symbol in model.merger.merge(piece)
    ]
    assert found == whole


@given(pieces, st.text())
def test_every_text_without_the_sign_comes_back(words: list[str], text: str) -> None:
    text = text.replace("▁", "")
    model = tokenizer([*{"▁", *words}])
    assert model.decode(model.encode(text)) == text


def test_the_prefix_space_follows_special_tokens() -> None:
    model = tokenizer(["▁", "a", "▁a"])
    ids = model.vocabulary.ids
    assert model.encode("a") == [1, ids["▁a"]]
    assert model.encode("a</s>a", parse_special=True) == [1, ids["▁a"], 2, ids["▁a"]]
    assert model.encode("", add_special=True) == [1]
    plain = tokenizer(["▁", "a", "▁a"], add_space_prefix=False, add_bos_token=False)
    assert plain.encode("a") == [plain.vocabulary.ids["a"]]


def test_characters_without_a_token_become_bytes() -> None:
    model = tokenizer(["▁"])
    ids = model.encode("é\udcff", add_special=False)
    assert [model.piece(token) for token in ids] == [b" ", b"\xc3", b"\xa9", b"\xff"]
    assert model.decode(ids) == "é\ufffd"


def test_a_vocabulary_without_byte_tokens_says_unknown() -> None:
    vocabulary = Vocabulary(
        {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "▁"]}
    )
    assert SentencePieceTokenizer(vocabulary).encode("ab", add_special=False) == [3, 0, 0]


def test_explanation_ends_in_the_tokens() -> None:
    model = tokenizer(["ab", "abc", "▁abc", "a", "b", "c", "▁"])
    (entry,) = model.explain("abc")
    assert entry.text == "▁abc"
    assert entry.symbols == ["▁", "a", "b", "c"]
    assert [step.symbols for step in entry.steps] == [["▁", "ab", "c"], ["▁", "abc"], ["▁abc"]]
    assert entry.steps[0].reason == "score -0"
    assert entry.ids == model.encode("abc", add_special=False)
