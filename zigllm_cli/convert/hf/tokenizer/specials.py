"""Tokens with a meaning, and which of them are put around a text."""

from __future__ import annotations

from typing import Any

from zigllm_cli.convert.conversion import Keys
from zigllm_cli.convert.hf.config import Config, read_object
from zigllm_cli.convert.hf.tokenizer.files import TokenizerFiles
from zigllm_cli.convert.hf.tokenizer.vocabulary import Vocabulary

NAMES = {
    "bos": "bos",
    "eos": "eos",
    "unk": "unknown",
    "sep": "seperator",
    "pad": "padding",
    "mask": "mask",
    "eot": "eot",
    "eom": "eom",
}
"""What transformers calls them, and GGUF's keys (one is misspelt in every file)."""

FLAGS = ("bos", "eos", "sep")
BERT = {
    **{"bos": None, "eos": None, "eom": None, "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]"},
    **{"pad": "[PAD]", "mask": "[MASK]"},
}
"""What WordPiece vocabularies call them where no file does."""

TURN_ENDS = ("<end_of_turn>",)
"""Texts that end a turn and that no file names."""


def put_specials(keys: Keys, files: TokenizerFiles, config: Config, vocabulary: Vocabulary) -> None:
    """Set the ids, and whether a text begins with BOS and ends with EOS or SEP."""
    texts = {kind: files.token_text(kind) for kind in (*NAMES, "cls")}
    if vocabulary.model == "bert":
        texts = {kind: texts[kind] or text for kind, text in BERT.items()} | {"eot": None}
    texts["bos"] = texts["bos"] or texts["cls"]
    texts["eos"] = texts["eos"] or texts["sep"]
    adds = _adds(files, texts)
    ids = _ids(files, config, vocabulary, texts)
    for kind, name in NAMES.items():
        keys.u32(f"tokenizer.ggml.{name}_token_id", ids.get(kind))
    for kind in FLAGS:
        flag = adds.get(kind, files.config.get(f"add_{kind}_token"))
        if isinstance(flag, bool):
            keys.flag(f"tokenizer.ggml.add_{kind}_token", flag)


def _ids(
    files: TokenizerFiles,
    config: Config,
    vocabulary: Vocabulary,
    texts: dict[str, str | None],
) -> dict[str, int]:
    """Ids by kind: of the tokenizer's texts among added tokens, else what `config.json` says."""
    added = {token.text: token.id for token in (*files.config_added, *files.json_added)}
    size = len(vocabulary.tokens)
    looked_up = NAMES if vocabulary.model == "bert" else ("bos", "eos")
    found: dict[str, int] = {}
    for kind in NAMES:
        text = texts.get(kind)
        number = added.get(text) if text is not None else None
        if number is None:
            number = _first(config.get(f"{kind}_token_id"))
        if number is None and text is not None and kind in looked_up:
            number = vocabulary.id_of(text)
        if number is not None and 0 <= number < size:
            found[kind] = number
    if "eos" in found and "eot" not in found:
        ends = read_object(files.folder / "generation_config.json").get("eos_token_id")
        more = [_first(end) for end in ends] if isinstance(ends, list) else []
        more += [vocabulary.id_of(text) for text in TURN_ENDS]
        others = [n for n in more if n is not None and n != found["eos"] and 0 <= n < size]
        if others:
            found["eot"] = others[-1]
    return found


def _first(value: Any) -> int | None:
    """A number, or the first of several."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _adds(files: TokenizerFiles, texts: dict[str, str | None]) -> dict[str, bool]:
    """What the post-processor of `tokenizer.json` puts around a text; it may name new tokens."""
    adds: dict[str, bool] = {}
    for step in _steps(files.tokenizer.get("post_processor")):
        kind = step.get("type")
        if kind == "ByteLevel":
            adds.setdefault("bos", False)
            adds.setdefault("eos", False)
        elif kind == "RobertaProcessing":
            adds |= {"bos": True, "eos": True, "sep": True}
        elif kind == "TemplateProcessing":
            _read_template(step, texts, adds)
    return adds


def _steps(node: Any) -> list[dict[str, Any]]:
    if not isinstance(node, dict):
        return []
    steps = node.get("processors", [node])
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def _read_template(
    step: dict[str, Any], texts: dict[str, str | None], adds: dict[str, bool]
) -> None:
    """A template such as `<s> $A </s>`, as far as its first and its last token go."""
    single = step.get("single")
    if not isinstance(single, list) or len(single) < 2:
        return
    first, last = (_special(single[place]) for place in (0, -1))
    if first is not None:
        if texts.get("bos") is None:
            texts["bos"] = first
        adds["bos"] = first in (texts.get("bos"), texts.get("cls"))
    if last is not None:
        if last != texts.get("eos"):
            texts["eot"], texts["eos"] = texts.get("eos"), last
        adds["eos"] = True
    between = _between(step.get("pair"))
    if between:
        ends = (texts.get("sep"), texts.get("eos"))
        alone = last is None and between[0] in ends
        adds["sep"] = alone or (len(between) == 2 and between[1] in ends)


def _between(pair: Any) -> list[str]:
    """The special tokens between the two texts of a pair, in order."""
    items = pair if isinstance(pair, list) else []
    texts = [place for place, item in enumerate(items) if _special(item) is None]
    inner = items[texts[0] + 1 : texts[-1]] if len(texts) == 2 else []
    return [text for item in inner if (text := _special(item)) is not None]


def _special(item: Any) -> str | None:
    token = item.get("SpecialToken") if isinstance(item, dict) else None
    text = token.get("id") if isinstance(token, dict) else None
    return text if isinstance(text, str) else None
