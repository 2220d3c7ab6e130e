"""Rendering: transformers' texts, marks that stay on, and templates that mean harm."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from zigllm_cli.errors import GenerationError, UsageError
from zigllm_cli.templates import RefusedError, render, render_traced
from zigllm_cli.templates.rendering import Rendered

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def marked(rendered: Rendered) -> list[str]:
    return [rendered.text[start:stop] for start, stop in rendered.content]


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def test_templates_of_the_kit(kit: Path) -> None:
    """Texts are transformers'; every character of the messages is marked as theirs."""
    folder = kit / "templates"
    answers = json.loads((folder / "rendered_dev.json").read_text("utf-8"))
    now = datetime.fromisoformat(answers["strftime_now"])
    count = 0
    for name, expected in answers["rendered"].items():
        source = (folder / name).read_text("utf-8")
        for title, conversation in answers["conversations"].items():
            options = {
                "bos_token": answers["bos_token"],
                "eos_token": answers["eos_token"],
                "add_generation_prompt": conversation["add_generation_prompt"],
                "now": now,
            }
            if "error" in expected[title]:
                with pytest.raises(GenerationError):
                    render(source, conversation["messages"], **options)
                continue
            rendered = render_traced(source, conversation["messages"], **options)
            assert rendered.text == expected[title]["text"], (name, title)
            assert not rendered.lost
            contents = "\n".join(marked(rendered))
            assert all(m["content"] in contents for m in conversation["messages"]), (name, title)
            count += 1
    assert count > 120


def test_marks_say_what_comes_from_messages() -> None:
    rendered = render_traced(CHATML, user("<|im_end|>x"))
    assert rendered.text == "<|im_start|>user\n<|im_end|>x<|im_end|>\n"
    assert marked(rendered) == ["user", "<|im_end|>x"]


@pytest.mark.parametrize(
    ("expression", "content", "text", "marks"),
    [
        ("'<' ~ c ~ '>'", "a", "<a>", ["a"]),
        ("'<' + c + '>'", "a", "<a>", ["a"]),
        ("'<%s>' % c", "a", "<a>", ["a"]),
        ("'<%s>'|format(c)", "a", "<a>", ["a"]),
        ("'<{}|{:>3}>'.format(c, c)", "a", "<a|  a>", ["a", "  a"]),
        ("c|trim + '.'", " a ", "a.", ["a"]),
        ("c.strip() + '.'", " a ", "a.", ["a"]),
        ("c.split('|')[-1] + '.'", "b|a", "a.", ["a"]),
        ("c[1:] + '.'", "ba", "a.", ["a"]),
        ("c[::-1] + '.'", "ab", "ba.", ["ba"]),
        ("['<', c]|join('-') + '.'", "a", "<-a.", ["a"]),
        ("'-'.join([c, '<']) + '.'", "a", "a-<.", ["a"]),
        ("c|replace('x', '<') + '.'", "axb", "a<b.", ["a", "b"]),
        ("c|upper + '.'", "a", "A.", ["A"]),
        ("c|title + '.'", "ab cd", "Ab Cd.", ["Ab Cd"]),
        ("'x ' + c|list|join", "ab", "x ab", ["ab"]),
        ("c|tojson + '.'", "a", '"a".', ['"a"']),
        ("messages[0] ~ '.'", "a", "{'role': 'user', 'content': 'a'}.", None),
        ("c * 2 + '.'", "a", "aa.", ["aa"]),
        ("c.center(5)", "a", "  a  ", ["a"]),
        ("c|indent(2) + '.'", "a\nb", "a\n  b.", ["a\n  b"]),
        ("(c|list)[0] ~ '.'", "ab", "a.", ["a"]),
        ("c|first ~ '.'", "ab", "a.", ["a"]),
        ("c.encode().decode() ~ '.'", "ab", "ab.", ["ab"]),
        ("c|safe ~ '.'", "ab", "ab.", ["ab"]),
    ],
)
def test_operations_keep_marks(
    expression: str, content: str, text: str, marks: list[str] | None
) -> None:
    source = "{% set c = messages[0].content %}{{ " + expression + " }}"
    rendered = render_traced(source, user(content))
    assert rendered.text == text
    assert marked(rendered) == (marks or [text[:-1]])


@pytest.mark.parametrize(
    "source",
    [
        "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(messages[0].content) }}",
        "{% set x %}<{{ messages[0].content }}>{% endset %}{{ x }}",
        "{% filter trim %} <{{ messages[0].content }}> {% endfilter %}",
        "{% generation %}<{{ messages[0].content }}>{% endgeneration %}",
        "{% set ns = namespace(x='') %}{% for m in messages %}"
        "{% set ns.x = ns.x ~ '<' ~ m.content ~ '>' %}{% endfor %}{{ ns.x }}",
    ],
)
def test_statements_keep_marks(source: str) -> None:
    rendered = render_traced(source, user("<a>"))
    assert (rendered.text, marked(rendered)) == ("<<a>>", ["<a>"])


def test_where_marks_are_destroyed_contents_are_searched_for() -> None:
    rendered = render_traced("</s>{{ messages[0].content|safe }}</s>", user("x</s>y"))
    assert rendered.lost
    assert marked(rendered) == ["x</s>y"]
    assert rendered.text == "</s>x</s>y</s>"


def test_variables_that_templates_expect() -> None:
    source = (
        "{{ strftime_now('%d %b %Y') }}|{{ tools is none }}|{{ documents|length }}|"
        "{{ enable_thinking }}|{{ missing is defined }}|{{ {'a': '<é>'}|tojson(indent=1) }}"
    )
    text = render(
        source, [], now=datetime(2026, 1, 5), documents=[{"title": "t"}], enable_thinking=False
    )
    assert text == '05 Jan 2026|True|1|False|False|{\n "a": "<é>"\n}'
    assert (
        render(
            "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", []
        )
        == "01"
    )
    with pytest.raises(RefusedError, match="refuses this conversation: no such role"):
        render("{{ raise_exception('no such role') }}", [])


HOSTILE = {
    "endless": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "giant text": "{{ 'a' * 3000000000 }}",
    "giant output": "{% for i in range(99999) %}{{ 'a' * 9000 }}{% endfor %}",
    "giant number": "{{ 9 ** (9 ** 9) }}",
    "giant width": "{{ '%999999999d' % 1 }}",
    "giant list": "{{ ([0] * 999999999)|length }}",
    "giant replace": "{{ ('a' * 99999)|replace('', 'b' * 99999)|length }}",
    "laughs": "{% set n = namespace(x=[1]) %}{% for i in range(60) %}"
    "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x|tojson }}",
    "comparison": "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(60) %}"
    "{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
    "recursion": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "nesting": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "chain": "{{ a" + ".b" * 20000 + " }}",
    "class": "{{ ''.__class__ }}",
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "filter": "{{ messages|attr('__class__') }}",
    "mapped": "{{ messages|map(attribute='__class__')|list }}",
    "format": "{{ '{0.__class__}'.format(messages) }}",
    "globals": "{{ cycler.__init__.__globals__.os.system('true') }}",
    "item": "{{ messages['__class__'] }}",
    "change": "{{ messages.append(1) }}",
    "namespace": "{% set n = namespace(__class__=1) %}",
    "include": "{% include '/etc/passwd' %}",
    "syntax": "{% for %}",
    "not a function": "{{ messages() }}",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile_templates_end_in_a_sentence(source: str) -> None:
    """Within a second of processor time: the clock depends on what else the machine does."""
    before = time.process_time()
    with pytest.raises(GenerationError, match=r"^the chat template "):
        render(source, user("x"))
    assert time.process_time() - before < 1
    assert render(CHATML, user("still alive")).startswith("<|im_start|>")


def test_a_message_that_imitates_a_template_is_text() -> None:
    assert "{{ 7*7 }}" in render(CHATML, user("{{ 7*7 }}"))


def test_errors_hold_nothing_that_commands_a_terminal() -> None:
    with pytest.raises(GenerationError) as caught:
        render("{{ raise_exception('\x1b[2J\u202e' ~ 'x' * 9999) }}", [])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("messages", [["text"], [{"role": "user", "content": object()}]])
def test_values_that_are_no_plain_data(messages: Any) -> None:
    with pytest.raises(UsageError):
        render(CHATML, messages)
