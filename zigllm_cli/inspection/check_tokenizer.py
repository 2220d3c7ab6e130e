"""Whether a file's tokenizer can work: lists that fit together, ids that exist, known names."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

from zigllm_cli.errors import ZigllmError
from zigllm_cli.gguf import GGUFFile
from zigllm_cli.inspection.findings import PROBLEM, Finding, note, problem
from zigllm_cli.inspection.hyper import Hyperparameters
from zigllm_cli.inspection.memory import ENCODERS
from zigllm_cli.inspection.tokens import NUMBERS, TEXT, array, special_ids
from zigllm_cli.tokenizers.vocabulary import TokenType

AREA = "tokenizer"
PREFIX = "tokenizer.ggml."
BYTE_PAIRS = ("gpt2", "gemma4")
EMPTY = ("none", "no_vocab")


def check_tokenizer(file: GGUFFile) -> Iterator[Finding]:
    """Everything about the `tokenizer.ggml.*` keys."""
    model = file.metadata.get(f"{PREFIX}model")
    if model is None:
        if file.architecture:
            yield note(AREA, "the file has no tokenizer", f"{PREFIX}model")
        return
    if model in EMPTY:
        return
    findings = [*_check_lists(file)]
    tokens = array(file, "tokens", TEXT)
    if isinstance(model, str) and tokens is not None and len(tokens):
        texts: list[str] = tokens.tolist()
        findings += _check_texts(file, model, texts)
        findings += _check_special(file, model, texts)
        if model in BYTE_PAIRS:
            findings += _check_merges(file, model, texts)
            findings += _check_pre(file, model)
    if not any(finding.severity == PROBLEM for finding in findings):
        findings += _check_construction(file)
    yield from findings


def _check_lists(file: GGUFFile) -> Iterator[Finding]:
    """Lists of the right types and of equal lengths."""
    tokens = array(file, "tokens", TEXT)
    if not isinstance(file.metadata[f"{PREFIX}model"], str):
        yield problem(AREA, f"{PREFIX}model is not a text", f"{PREFIX}model")
    if tokens is None or not len(tokens):
        key = f"{PREFIX}tokens"
        yield problem(AREA, f"{key} is missing, empty or not a list of texts", key)
        return
    for name in ("token_type", "scores"):
        key = PREFIX + name
        if key not in file.metadata:
            continue
        values = array(file, name, NUMBERS)
        if values is None:
            yield problem(AREA, f"{key} is not a list of numbers", key)
        elif len(values) != len(tokens):
            text = f"{key} has {len(values)} values for {len(tokens)} tokens"
            yield problem(AREA, text, key)
    size = Hyperparameters(file).number("vocab_size", len(tokens))
    if size != len(tokens):
        key = f"{file.architecture}.vocab_size"
        yield problem(AREA, f"{key} is {size}, but there are {len(tokens)} tokens", key)


def _check_texts(file: GGUFFile, model: str, texts: list[str]) -> Iterator[Finding]:
    """Tokens that occur twice or are empty, types that do not exist, bytes without a token."""
    twice = [text for text, count in Counter(texts).items() if count > 1]
    if twice:
        shown = ", ".join(map(repr, twice[:3])) + (", ..." if len(twice) > 3 else "")
        yield problem(AREA, f"{len(twice)} token text(s) occur more than once: {shown}")
    if empty := texts.count(""):
        yield note(AREA, f"{empty} token(s) are empty")
    types = array(file, "token_type", NUMBERS)
    if types is not None:
        wrong = sorted(set(types.tolist()) - {int(kind) for kind in TokenType})
        if wrong:
            text = f"{PREFIX}token_type holds {wrong[0]}, which is no token type"
            yield problem(AREA, text, f"{PREFIX}token_type")
    elif model == "llama":
        yield note(AREA, f"{PREFIX}token_type is missing, all tokens count as ordinary text")
    if model == "llama":
        if f"{PREFIX}scores" not in file.metadata:
            yield problem(AREA, f"{PREFIX}scores is missing; merges need it", f"{PREFIX}scores")
        known = set(texts)
        lacking = sum(f"<0x{byte:02X}>" not in known for byte in range(256))
        if lacking:
            yield note(AREA, f"{lacking} of 256 byte tokens are missing; some text has no tokens")


def _check_special(file: GGUFFile, model: str, texts: list[str]) -> Iterator[Finding]:
    """Ids with a meaning lie inside the vocabulary, and those that are needed exist."""
    found = special_ids(file, model)
    for name, (number, source) in found.items():
        if source == "key" and not 0 <= number < len(texts):
            text = f"the {name} token is {number}, outside the vocabulary of {len(texts)}"
            yield problem(AREA, text, f"{PREFIX}{name}_token_id")
    for name in ("bos", "eos"):
        wanted = file.metadata.get(f"{PREFIX}add_{name}_token")
        if wanted is True and name not in found:
            text = f"{PREFIX}add_{name}_token is true, but the file names no {name} token"
            yield problem(AREA, text, f"{PREFIX}add_{name}_token")
    is_encoder = file.architecture in ENCODERS
    if not is_encoder and found.get("eos", (0, "default"))[1] == "default":
        yield note(AREA, "the file names no eos token, so its kind's default is assumed")


def _check_merges(file: GGUFFile, model: str, texts: list[str]) -> Iterator[Finding]:
    key = f"{PREFIX}merges"
    merges = array(file, "merges", TEXT)
    if merges is None:
        yield problem(AREA, f"{key} is missing; {model} tokenizers need it", key)
        return
    known = set(texts)
    broken = unknown = 0
    for merge in merges.tolist():
        cut = merge.find(" ", 1)
        broken += cut < 0
        unknown += cut >= 0 and merge[:cut] + merge[cut + 1 :] not in known
    if broken:
        yield problem(AREA, f"{broken} of {len(merges)} merges do not have two parts", key)
    if unknown:
        yield note(AREA, f"{unknown} of {len(merges)} merges make texts that are no tokens", key)


def _check_pre(file: GGUFFile, model: str) -> Iterator[Finding]:
    """The name of the pre-tokenizer is there and known."""
    from zigllm_cli.tokenizers.pretokenizers import pretokenizer

    key = f"{PREFIX}pre"
    name = file.metadata.get(key)
    if model != "gpt2":
        return
    if not isinstance(name, str) or not name:
        text = f"{key} is missing, so text is cut as no model was trained to see it"
        yield problem(AREA, text, key)
        return
    try:
        pretokenizer(name)
    except ZigllmError:
        yield problem(AREA, f"{key} names the pre-tokenizer {name!r:.60}, which is unknown", key)


def _check_construction(file: GGUFFile) -> Iterator[Finding]:
    """Build the tokenizer; what it refuses, the file cannot be used with."""
    from zigllm_cli.tokenizers import from_metadata

    logger = logging.getLogger("zigllm_cli.tokenizers")
    quiet = logging.NullHandler()  # what it warns about has been said above
    logger.addHandler(quiet)
    try:
        from_metadata(file.metadata)
    except ZigllmError as error:
        yield problem(AREA, str(error))
    finally:
        logger.removeHandler(quiet)
