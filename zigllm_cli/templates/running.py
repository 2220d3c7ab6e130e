"""One rendering, as it happens in the worker's process: a request becomes an answer."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from itertools import groupby
from types import CodeType
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError

from zigllm_cli.templates.origin import CONTENT, Traced, from_content, plain
from zigllm_cli.templates.sandbox import Sandbox

MOST_SOURCE = 1 << 20
"""Characters of a template; the longest that models come with have some 20 thousand."""
MOST_MESSAGE = 500


def run(request: dict[str, Any], most: int) -> dict[str, Any]:
    """The text with its marks, or the sentence that says why there is none.

    Args:
        request: source, trusted and untrusted variables, now.
        most: characters that the text may have.
    """
    source, now = request["source"], request["now"]
    if len(source) > MOST_SOURCE:
        return _failed(f"is too long: {len(source)} characters of at most {MOST_SOURCE}")
    try:
        text, lost = _render(source, request, datetime.fromisoformat(now) if now else None)
    except TemplateSyntaxError as error:
        return _failed(f"is not valid Jinja in line {error.lineno}: {error.message}")
    except SecurityError as error:
        return _failed(f"does what no template may do: {error}")
    except UndefinedError as error:
        return _failed(f"does not fit this conversation: {error}")
    except TemplateError as error:
        return _failed(f"refuses this conversation: {error}", refused=True)
    except RecursionError:
        return _failed("calls itself too deep")
    except MemoryError:
        return _failed("needs too much memory")
    except Exception as error:
        return _failed(f"fails with {type(error).__name__}: {error}")
    if len(text) > most:
        return _failed(f"makes {len(text)} characters, more than the {most} allowed")
    return {"text": plain(text), "content": _runs(text), "lost": lost}


def _render(source: str, request: dict[str, Any], now: datetime | None) -> tuple[Traced, bool]:
    sandbox = Sandbox(now)
    variables = {**request["variables"], **from_content(request["contents"])}
    template = Template.from_code(sandbox, _compiled(source), sandbox.make_globals(None))
    text = sandbox.concat(template.root_render_func(template.new_context(variables)))
    assert isinstance(text, Traced)
    return text, sandbox.lost


@lru_cache(16)
def _compiled(source: str) -> CodeType:
    return Sandbox().compile(source, filename="chat template")


def _runs(text: Traced) -> list[tuple[int, int]]:
    """Start and stop of each stretch of content."""
    runs, place = [], 0
    for mark, group in groupby(text.marks):
        length = sum(1 for _ in group)
        if mark == CONTENT[0]:
            runs.append((place, place + length))
        place += length
    return runs


def _failed(reason: str, *, refused: bool = False) -> dict[str, Any]:
    return {"error": f"the chat template {reason[:MOST_MESSAGE]}", "refused": refused}
