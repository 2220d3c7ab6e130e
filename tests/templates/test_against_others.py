"""Texts beside those of transformers and llama.cpp."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zigllm_cli.errors import GenerationError
from zigllm_cli.templates import render
from zigllm_cli.templates.choosing import named

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<s>": 0, "</s>": 1, "<unk>": 2}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


def cases(kit: Path, talks: ModuleType) -> Any:
    for path in sorted((kit / "templates").glob("*.jinja")):
        for title, messages in talks.CONVERSATIONS.items():
            for tools in (None, [talks.TOOL]) if title in talks.WITH_TOOLS else (None,):
                yield path, title, messages, tools


def test_every_template_of_the_kit_is_rendered_as_by_transformers(
    kit: Path, talks: ModuleType, tokenizer: Any
) -> None:
    agreed = refused = 0
    for path, title, messages, tools in cases(kit, talks):
        source = path.read_text("utf-8")
        for generate in (True, False):
            options: dict[str, Any] = {"tools": tools, "add_generation_prompt": generate}
            try:
                expected = tokenizer.apply_chat_template(
                    messages, chat_template=source, tokenize=False, **options
                )
            except Exception:
                refused += 1
                with pytest.raises(GenerationError):
                    render(source, messages, bos_token="<s>", eos_token="</s>", **options)
                continue
            text = render(source, messages, bos_token="<s>", eos_token="</s>", **options)
            assert text == expected, (path.name, title, tools is not None)
            agreed += 1
    assert agreed > 1000
    assert refused < agreed / 4


LLAMA_CPP_NAMES = {
    **{name: name for name in ("chatml", "llama3", "gemma", "phi3", "zephyr", "command-r")},
    **{"vicuna": "vicuna", "deepseek": "deepseek3", "falcon3": "falcon3", "chatglm": "chatglm4"},
    **{"mistral": "mistral-v3", "granite": "granite-4.0"},
}


@pytest.mark.parametrize(("name", "other"), LLAMA_CPP_NAMES.items(), ids=LLAMA_CPP_NAMES)
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_named_templates_are_those_of_llama_cpp(
    talks: ModuleType, name: str, other: str, system: str | None
) -> None:
    """But for BOS, which llama.cpp's leave to the tokenizer; its EOS stand in its texts."""
    eos = "<|endoftext|>" if name == "zephyr" else "</s>"
    messages = talks.said("Hi there.", "Hello!", "Say it again.", system=system)
    text = render(named(name), messages, bos_token="", eos_token=eos)
    assert text == llama_cpp_text(other, messages)


def llama_cpp_text(name: str, messages: list[dict[str, Any]]) -> str:
    import llama_cpp

    pairs = [(m["role"].encode(), m["content"].encode()) for m in messages]
    chat = (llama_cpp.llama_chat_message * len(pairs))(
        *(llama_cpp.llama_chat_message(role=role, content=content) for role, content in pairs)
    )
    buffer = ctypes.create_string_buffer(8192)
    size = llama_cpp.llama_chat_apply_template(
        name.encode(), chat, len(pairs), True, buffer, len(buffer)
    )
    assert size > 0
    return buffer.raw[:size].decode("utf-8")
