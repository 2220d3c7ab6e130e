"""A folder's vocabulary as GGUF holds it: texts, kinds, scores, merges.

The functions below `find_vocabulary` read one form each. GGUF writes some texts otherwise than
the files do: WordPiece's `##ing` is `ing` and `word` is `▁word`, spaces of added tokens are plain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zigllm_cli.convert.conversion import Keys, Options
from zigllm_cli.convert.hf.config import Config, read_object
from zigllm_cli.convert.hf.tokenizer.files import AddedToken, TokenizerFiles
from zigllm_cli.convert.hf.tokenizer.pre import find_pre
from zigllm_cli.convert.hf.tokenizer.sentencepiece import UNIGRAM, SentencePiece
from zigllm_cli.convert.hf.tokenizer.tiktoken import (
    merges_of,
    printable,
    qwen_specials,
    read_ranks,
)
from zigllm_cli.errors import InputError, UnsupportedError
from zigllm_cli.gguf import ValueType
from zigllm_cli.tokenizers.vocabulary import SPACE, TokenType

MAX_TOKENS = 1 << 24
UNUSED_SCORE, ADDED_SCORE = -10000.0, -1000.0
BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
LOOKS_SPECIAL = re.compile(
    r"<pad>|<mask>|<2mass>|\[@BOS@\]|<\|.*\|>|<｜.*｜>|<unused.*>", re.DOTALL
)
"""Added tokens that steer, whatever their files say of them (Command R, DeepSeek, Gemma)."""


@dataclass(frozen=True)
class Vocabulary:
    """One vocabulary.

    Attributes:
        model: `tokenizer.ggml.model`.
        keys: more keys of this kind, name without `tokenizer.ggml.` to type and value.
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    scores: list[float] | None = None
    merges: list[str] | None = None
    keys: dict[str, tuple[ValueType, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def put(self, keys: Keys) -> None:
        """Set the keys of the vocabulary itself."""
        keys.text("tokenizer.ggml.model", self.model)
        keys.text("tokenizer.ggml.pre", self.pre)
        keys.array("tokenizer.ggml.tokens", ValueType.STRING, self.tokens)
        keys.array("tokenizer.ggml.scores", ValueType.FLOAT32, self.scores)
        keys.array("tokenizer.ggml.token_type", ValueType.INT32, self.types)
        keys.array("tokenizer.ggml.merges", ValueType.STRING, self.merges)
        for name, (kind, value) in self.keys.items():
            keys.put(f"tokenizer.ggml.{name}", kind, value)

    def id_of(self, text: str) -> int | None:
        """The id of a token, None where there is none."""
        try:
            return self.tokens.index(text)
        except ValueError:
            return None


def find_vocabulary(files: TokenizerFiles, config: Config, options: Options) -> Vocabulary | None:
    """The vocabulary of a folder, None where it has none.

    Raises:
        InputError: a file is damaged.
        UnsupportedError: a kind that GGUF has no name for.
    """
    found = _found(files, config, options)
    return replace(found, pre=options.pre) if found is not None and options.pre else found


def _found(files: TokenizerFiles, config: Config, options: Options) -> Vocabulary | None:
    kind = files.model.get("type")
    if kind is None and "vocab" in files.model:
        kind = "BPE" if "merges" in files.model else "WordPiece"
    by_bytes = "ByteLevel" in str(files.tokenizer.get("pre_tokenizer"))
    size = _size(config)
    if kind == "BPE" and by_bytes:
        merges = [_merge(pair) for pair in files.model.get("merges") or ()]
        return byte_level(files, _ids(files), merges, size, options)
    if kind == "WordPiece":
        return word_pieces(files, _ids(files), size)
    if files.has("tokenizer.model"):
        piece = SentencePiece.read(files.folder / "tokenizer.model")
        return sentence_pieces(piece, files, size)
    if kind == "Unigram":
        return unigram(files, size)
    if kind == "BPE":
        return spaced_bpe(files, size)
    if kind is not None:
        raise UnsupportedError(f"{files.folder}: tokenizers of type {kind!r:.40} are not converted")
    if files.has("vocab.json") and files.has("merges.txt"):
        merges = _merges_file(files.text("merges.txt"))
        ids = _checked_ids(read_object(files.folder / "vocab.json"), files)
        return byte_level(files, ids, merges, size, options)
    if files.has("vocab.txt"):
        lines = files.text("vocab.txt").split("\n")
        lines = lines[:-1] if lines and not lines[-1] else lines
        return word_pieces(files, {line.rstrip("\r"): i for i, line in enumerate(lines)}, size)
    if files.has("sentencepiece.bpe.model"):
        return _xlm_roberta(SentencePiece.read(files.folder / "sentencepiece.bpe.model"), size)
    if files.has("qwen.tiktoken"):
        return qwen_tiktoken(files, size)
    for name in ("tekken.json", "tiktoken.model", "hy.tiktoken", "spiece.model"):
        if files.has(name):
            raise UnsupportedError(
                f"the tokenizer {files.folder / name} is of a form that is not converted; "
                "put the model's tokenizer.json beside it"
            )
    return None


# ------------------------------------------------------------------ one function for each form


def byte_level(
    files: TokenizerFiles,
    ids: dict[str, int],
    merges: list[str],
    size: int | None,
    options: Options,
) -> Vocabulary:
    """GPT-2's: bytes as printable characters, merged by rank."""
    tokens, types = _listed(files, ids, size)
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
    tokens, types = _listed(replace(files, json_added=added), _checked_ids(ids, files), size)
    end = min(specials, default=None)
    keys = {
        f"{name}_token_id": (ValueType.UINT32, end)
        for name in ("bos", "eos", "unknown")
        if end is not None
    }
    return Vocabulary("gpt2", "qwen2", tokens, types, merges=merges_of(ranks), keys=keys)


def word_pieces(files: TokenizerFiles, ids: dict[str, int], size: int | None) -> Vocabulary:
    """BERT's: words from the left, then pieces that begin with ##."""
    tokens, types = _listed(files, ids, size)
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
            tokens[added.id], types[added.id] = _added(added)
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
    tokens, types = _listed(files, _ids(files), size)
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(files.model.get("merges") or ()):
        left, _, right = _merge(pair).partition(" ")
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
    prepends = (
        "Prepend" in str(files.tokenizer.get("normalizer"))
        or ("always" in str(files.tokenizer.get("pre_tokenizer")))
        or "first" in str(files.tokenizer.get("pre_tokenizer"))
    )
    if not prepends:
        keys["add_space_prefix"] = (ValueType.BOOL, False)
    return Vocabulary("llama", "default", tokens, types, scores, keys=keys)


def unigram(files: TokenizerFiles, size: int | None) -> Vocabulary:
    """SentencePiece's other kind: the likeliest cut by the tokens' own probabilities."""
    from base64 import b64decode

    rows = files.model.get("vocab")
    try:
        texts = [str(text) for text, _ in rows or ()]
        scores = [float(score) for _, score in rows or ()]
    except (TypeError, ValueError):
        raise InputError(f"{files.folder}/tokenizer.json: the vocabulary is damaged") from None
    tokens, types = _listed(files, {text: i for i, text in enumerate(texts)}, size)
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
            keys["precompiled_charsmap"] = _charsmap(b64decode(part["precompiled_charsmap"]))
    return Vocabulary("t5", "default", tokens, types, scores, keys=keys)


def _xlm_roberta(piece: SentencePiece, size: int | None) -> Vocabulary:
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


# ------------------------------------------------------------------ parts


def _size(config: Config) -> int | None:
    size = config.whole("vocab_size")
    if size is not None and not 0 < size <= MAX_TOKENS:
        raise InputError(f"{config.path}: a vocabulary of {size} tokens is impossible")
    if size is not None and "mamba" in str(config.get("model_type")):
        multiple = config.whole("pad_vocab_size_multiple") or 8
        size = -(-size // multiple) * multiple
    return size


def _ids(files: TokenizerFiles) -> dict[str, int]:
    return _checked_ids(files.model.get("vocab"), files)


def _checked_ids(ids: Any, files: TokenizerFiles) -> dict[str, int]:
    if not isinstance(ids, dict) or not all(type(i) is int and i >= 0 for i in ids.values()):
        raise InputError(f"{files.folder}: the tokenizer's vocabulary is damaged")
    return ids


def _listed(
    files: TokenizerFiles, ids: dict[str, int], size: int | None
) -> tuple[list[str], list[int]]:
    """Texts and types by id; ids that nothing has are unused."""
    added = {token.id: token for token in (*files.config_added, *files.json_added)}
    largest = max((*ids.values(), *added), default=-1)
    if size is not None and largest >= size:
        raise InputError(
            f"{files.folder}: the tokenizer has an id {largest}, and the model {size} tokens"
        )
    count = size if size is not None else largest + 1
    if count > MAX_TOKENS:
        raise InputError(f"{files.folder}: the tokenizer has an id {largest}, which is impossible")
    tokens = [f"[PAD{i}]" for i in range(count)]
    types = [int(TokenType.UNUSED)] * count
    for text, index in ids.items():
        tokens[index], types[index] = text, TokenType.NORMAL
    for index, token in added.items():
        tokens[index], types[index] = _added(token)
    return tokens, types


def _added(token: AddedToken) -> tuple[str, int]:
    """An added token's text and type; what is not special is text, with plain spaces."""
    if token.special or LOOKS_SPECIAL.fullmatch(token.text):
        return token.text, TokenType.CONTROL
    return token.text.replace(SPACE, " "), TokenType.USER_DEFINED


def _merge(pair: Any) -> str:
    """`left right`, from that or from a pair; spaces inside are written as byte-level BPE does."""
    if isinstance(pair, str):
        return pair
    if isinstance(pair, Sequence) and len(pair) == 2 and all(isinstance(x, str) for x in pair):
        return " ".join(part.replace(" ", "Ġ") for part in pair)
    raise InputError(f"tokenizer.json: {pair!r:.60} is not a merge of two tokens")


def _merges_file(text: str) -> list[str]:
    lines = text.splitlines()
    if lines and lines[0].startswith("#"):
        del lines[0]
    return [" ".join(line.split(" ")[:2]) for line in lines if len(line.split(" ")) == 2]


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


def _charsmap(data: bytes) -> tuple[ValueType, Any]:
    from zigllm_cli.gguf.entry import TypedList

    return ValueType.ARRAY, TypedList(ValueType.UINT8, list(data))
