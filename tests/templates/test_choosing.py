"""Which template a model gets."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from zigllm_cli.errors import GenerationError, UsageError
from zigllm_cli.templates import choose, names, render
from zigllm_cli.templates.choosing import CLUES, NAMES, named

WANTED = (
    *("chatml", "llama2", "llama3", "mistral", "gemma", "phi3", "zephyr", "vicuna", "alpaca"),
    *("command-r", "deepseek", "falcon", "chatglm", "granite", "none"),
)


@pytest.mark.parametrize("name", [*WANTED, "falcon3"])
@pytest.mark.parametrize("title", ["one", "system", "many", "empty", "special"])
def test_named_templates_hold_every_text_in_order(talks: ModuleType, name: str, title: str) -> None:
    messages = talks.CONVERSATIONS[title]
    text = render(named(name), messages, bos_token="<s>", eos_token="</s>")
    place = 0
    for message in messages:
        place = text.index(message["content"].strip(), place)
    answered = [*messages, {"role": "assistant", "content": "more"}]
    longer = render(named(name), answered, bos_token="<s>", eos_token="</s>")
    assert longer.startswith(text.rstrip(" "))
    assert "more" in longer[len(text) :]


def test_there_are_no_other_names() -> None:
    assert set(names()) == {*WANTED, "falcon3"}
    assert {name for _, name in (*CLUES, *NAMES)} <= set(names())


def test_the_users_wish_goes_first(tmp_path: Path) -> None:
    metadata = {"tokenizer.chat_template": "own", "tokenizer.chat_template.tool_use": "tools"}
    assert choose(None, metadata).source == "own"
    assert choose("tool_use", metadata).source == "tools"
    assert choose("chatml", metadata).source == named("chatml")
    assert choose("{{ x }}", metadata).source == "{{ x }}"
    file = tmp_path / "mine.jinja"
    file.write_text("mine")
    assert choose(str(file), metadata).source == "mine"
    with pytest.raises(UsageError, match=r"'nope' is no file.*tool_use, alpaca, .*zephyr"):
        choose("nope", metadata)


@pytest.mark.parametrize(
    ("metadata", "tokens", "name"),
    [
        ({}, {"<|im_start|>", "[INST]"}, "chatml"),
        ({}, {"<start_of_turn>"}, "gemma"),
        ({"general.name": "TinyLlama 1.1B Chat"}, set(), "zephyr"),
        ({"general.name": "llama-2-7b"}, set(), "none"),
        ({"general.name": "Llama-2-7b-chat"}, set(), "llama2"),
        ({"general.basename": "falcon", "general.finetune": "Instruct"}, set(), "falcon"),
        ({"tokenizer.chat_template": "  "}, set(), "none"),
    ],
)
def test_a_file_without_one_is_looked_at(
    metadata: dict[str, str], tokens: set[str], name: str
) -> None:
    choice = choose(None, metadata, tokens)
    assert (choice.name, choice.guessed) == (name, True)


def test_a_template_that_is_no_template() -> None:
    with pytest.raises(GenerationError, match="not valid Jinja in line 2"):
        render("x\n{% nope %}", [])
