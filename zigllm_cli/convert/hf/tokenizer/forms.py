"""The forms that vocabularies come in, one function for each.

GGUF writes some texts otherwise than the files do: WordPiece's `##ing` is `ing` and `word` is
`▁word`, spaces of added tokens are plain.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from zigllm_cli.convert.conversion import Options
from zigllm_cli.convert.hf.tokenizer.files import AddedToken, TokenizerFiles
from zigllm_cli.convert.hf.tokenizer.pre import find_pre
from zigllm_cli.convert.hf.tokenizer.sentencepiece import UNIGRAM, SentencePiece
from zigllm_cli.convert.hf.tokenizer.tiktoken import merges_of, printable, qwen_specials, read_ranks
from zigllm_cli.convert.hf.tokenizer.vocabulary import Vocabulary, added_text, checked_ids, listed
from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf import ValueType
from zigllm_cli.gguf.entry import TypedList
from zigllm_cli.tokenizers.vocabulary import SPACE, TokenType

UNUSED_SCORE, ADDED_SCORE = -10000.0, -1000.0
BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def byte_level(
    files: TokenizerFiles,
    ids: dict[str, int],
    merges: list[str],
    size: int | None,
    options: Options,
) -> Vocabulary:
    """GPT-2's: bytes as printable characters, merged by rank."""
    tokens, types = listed(files, ids, size)
    if options.pre:
        return Vocabulary("gpt2", options.pre, tokens, types, merges=merges)
    found = find_pre(files)
    return Vocabulary("gpt2", found.name, tokens, types, merges=merges, notes=found.notes)


def qwen_tiktoken(files: TokenizerFiles, size: int | None) -> Vocabulary:
    """Qwen 1's ranks, and the tokens that its code puts behind them."""
    ranks = read_ranks(files.text("qwen.tiktoken"), "qwen.tiktoken")
    ids = {printable(token): rank for token, rank in ranks.items()}
    specials = qwen_specials(max(ids.values(), default=-1) + 1, size)
    added = tuple(AddedToken(index, text, True) for index, text in specials.items())
    tokens, types = listed(replace(files, json_added=added), checked_ids(ids, files), size)
    end = min(specials, default=None)
    keys = {
        f"{name}_token_id": (ValueType.UINT32, end)
        for name in ("bos", "eos", "unknown")
        if end is not None
    }
    return Vocabulary("gpt2", "qwen2", tokens, types, merges=merges_of(ranks), keys=keys)


def word_pieces(files: TokenizerFiles, ids: dict[str, int], size: int | None) -> Vocabulary:
    """BERT's: words from the left, then pieces that begin with ##."""
    tokens, types = listed(files, ids, size)
    specials = {files.token_text(kind) for kind in ("unk", "sep", "pad", "cls", "mask")}
    specials |= {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"} if not files.json_added else set()
    texts = []
    for index, (text, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind == TokenType.NORMAL and text in specials:
            types[index] = kind = TokenType.CONTROL
        if kind in (TokenType.CONTROL, TokenType.UNUSED):
            texts.append(text)
        else:
            texts.append(text[2:] if text.startswith("##") else SPACE + text)
    keys = {}
    for name, value in _normalizer(files).items():
        keys[f"normalizer.{name}"] = (ValueType.BOOL, value)
    return Vocabulary("bert", "jina-v2-en", texts, types, keys=keys)


def sentence_pieces(piece: SentencePiece, files: TokenizerFiles, size: int | None) -> Vocabulary:
    """SentencePiece's `tokenizer.model`, with the tokens that the other files add."""
    count = size or len(piece.texts)
    tokens = [f"[PAD{i}]" for i in range(count)]
    scores, types = [UNUSED_SCORE] * count, [int(TokenType.UNUSED)] * count
    known = min(count, len(piece.texts))
    tokens[:known], scores[:known] = piece.texts[:known], piece.scores[:known]
    types[:known] = piece.types[:known]
    for added in files.config_added or files.json_added:
        if added.id < count:
            tokens[added.id], types[added.id] = added_text(added)
            scores[added.id] = ADDED_SCORE
    keys = {}
    prefix = files.config.get("add_prefix_space")
    if isinstance(prefix, bool):
        keys["add_space_prefix"] = (ValueType.BOOL, prefix)
    elif not piece.add_dummy_prefix or _is_gemma(files):
        keys["add_space_prefix"] = (ValueType.BOOL, False)
    return Vocabulary("llama", "default", tokens, types, scores, keys=keys)


def spaced_bpe(files: TokenizerFiles, size: int | None) -> Vocabulary:
    """BPE over characters with ▁ for spaces: a SentencePiece model that was made a tokenizer.json.

    A token's score is minus the rank of the merge that makes it, so that the best score comes
    first, as the lowest rank did.
    """
    if not files.model.get("byte_fallback"):
        raise UnsupportedError(
            f"{files.folder}: BPE over characters without bytes to fall back on is not converted"
        )
    tokens, types = listed(files, vocabulary_ids(files), size)
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merge_texts(files)):
        left, _, right = merge.partition(" ")
        ranks.setdefault(left + right, rank)
    scores = [float(-ranks[text]) if text in ranks else 0.0 for text in tokens]
    unknown = files.model.get("unk_token")
    for index, text in enumerate(tokens):
        if BYTE.fullmatch(text):
            types[index] = TokenType.BYTE
        elif text == unknown:
            types[index] = TokenType.UNKNOWN
        if types[index] == TokenType.UNUSED:
            scores[index] = UNUSED_SCORE
        elif types[index] in (TokenType.CONTROL, TokenType.USER_DEFINED):
            scores[index] = ADDED_SCORE
    keys = {}
    if not _prepends_space(files):
        keys["add_space_prefix"] = (ValueType.BOOL, False)
    return Vocabulary("llama", "default", tokens, types, scores, keys=keys)


def unigram(files: TokenizerFiles, size: int | None) -> Vocabulary:
    """SentencePiece's other kind: the likeliest cut by the tokens' own probabilities."""
    rows = files.model.get("vocab")
    try:
        texts = [str(text) for text, _ in rows or ()]
        scores = [float(score) for _, score in rows or ()]
    except (TypeError, ValueError):
        raise InputError(f"{files.folder}/tokenizer.json: the vocabulary is damaged") from None
    tokens, types = listed(files, {text: i for i, text in enumerate(texts)}, size)
    tokens[: len(texts)] = texts
    scores += [UNUSED_SCORE] * (len(tokens) - len(scores))
    unknown = files.model.get("unk_id")
    if isinstance(unknown, int) and 0 <= unknown < len(types):
        types[unknown] = TokenType.UNKNOWN
    keys: dict[str, tuple[ValueType, Any]] = {
        "add_space_prefix": (ValueType.BOOL, True),
        "remove_extra_whitespaces": (ValueType.BOOL, True),
    }
    for part in _parts(files.tokenizer.get("normalizer"), "normalizers"):
        if part.get("type") == "Precompiled" and isinstance(part.get("precompiled_charsmap"), str):
            keys["precompiled_charsmap"] = _charsmap(_bytes_of(part["precompiled_charsmap"], files))
    return Vocabulary("t5", "default", tokens, types, scores, keys=keys)


def xlm_roberta(piece: SentencePiece, size: int | None) -> Vocabulary:
    """`sentencepiece.bpe.model`: ids are one more than in the file, for <pad> was put in."""
    if piece.model_type != UNIGRAM:
        raise UnsupportedError("sentencepiece.bpe.model is not of type unigram; not converted")
    control = int(TokenType.CONTROL)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *piece.texts[3:]]
    scores = [0.0, 0.0, 0.0, 0.0, *piece.scores[3:]]
    types = [control, control, control, int(TokenType.UNKNOWN), *piece.types[3:]]
    for index in range(len(tokens), size or 0):
        tokens.append(f"[PAD{index}]")
        scores.append(UNUSED_SCORE)
        types.append(int(TokenType.UNUSED))
    keys: dict[str, tuple[ValueType, Any]] = {
        "add_space_prefix": (ValueType.BOOL, piece.add_dummy_prefix),
        "remove_extra_whitespaces": (ValueType.BOOL, piece.remove_extra_whitespaces),
    }
    if piece.charsmap:
        keys["precompiled_charsmap"] = _charsmap(piece.charsmap)
    return Vocabulary("t5", "default", tokens, types, scores, keys=keys)


def _prepends_space(files: TokenizerFiles) -> bool:
    """Whether a space is put before a text, by its normaliser or by a Metaspace step."""
    scheme = str(files.tokenizer.get("pre_tokenizer"))
    prepended = "Prepend" in str(files.tokenizer.get("normalizer"))
    return prepended or "always" in scheme or "first" in scheme


def vocabulary_ids(files: TokenizerFiles) -> dict[str, int]:
    return checked_ids(files.model.get("vocab"), files)


def merge_texts(files: TokenizerFiles) -> list[str]:
    """The merges of `tokenizer.json`, `left right` each, by rank."""
    merges = files.model.get("merges") or []
    if not isinstance(merges, list):
        raise InputError(f"{files.folder}: the merges of tokenizer.json are no list")
    return [_merge_text(pair) for pair in merges]


def _merge_text(pair: Any) -> str:
    """`left right`, from that or from a pair; spaces inside are written as byte-level BPE does."""
    if isinstance(pair, str):
        return pair
    if isinstance(pair, Sequence) and len(pair) == 2 and all(isinstance(x, str) for x in pair):
        return " ".join(part.replace(" ", "Ġ") for part in pair)
    raise InputError(f"tokenizer.json: {pair!r:.60} is not a merge of two tokens")


def _parts(node: Any, list_name: str) -> Iterable[dict[str, Any]]:
    """A step of tokenizer.json, or the steps of a Sequence."""
    if not isinstance(node, dict):
        return
    if node.get("type") == "Sequence":
        for part in node.get(list_name) or ():
            yield from _parts(part, list_name)
    else:
        yield node


def _normalizer(files: TokenizerFiles) -> dict[str, bool]:
    """`lowercase` and `strip_accents`, where the tokenizer says something of them."""
    found: dict[str, bool] = {}
    for part in _parts(files.tokenizer.get("normalizer"), "normalizers"):
        if part.get("type") == "Lowercase":
            found["lowercase"] = True
        elif part.get("type") == "StripAccents":
            found["strip_accents"] = True
        elif part.get("type") == "BertNormalizer":
            for name in ("lowercase", "strip_accents"):
                if isinstance(part.get(name), bool):
                    found[name] = part[name]
    if not files.tokenizer and isinstance(files.config.get("do_lower_case"), bool):
        found["lowercase"] = files.config["do_lower_case"]
    return found


def _is_gemma(files: TokenizerFiles) -> bool:
    return str(files.config.get("tokenizer_class", "")).startswith("Gemma")


def _bytes_of(text: str, files: TokenizerFiles) -> bytes:
    try:
        return b64decode(text)
    except ValueError:
        raise InputError(f"{files.folder}: precompiled_charsmap is no base64") from None


def _charsmap(data: bytes) -> tuple[ValueType, Any]:
    return ValueType.ARRAY, TypedList(ValueType.UINT8, list(data))
