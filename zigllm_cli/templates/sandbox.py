"""Jinja as chat templates use it: Hugging Face's environment, over texts that know their origin.

The settings, filters and globals are those of transformers' `apply_chat_template`, so that a
template means the same here. No template reaches Python: attributes that begin with an
underscore, and methods that change a list or a dictionary, are refused at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import wraps
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Namespace

from zigllm_cli.templates.origin import (
    CONTENT,
    TEMPLATE,
    Traced,
    TracedFormatter,
    as_text,
    has_content,
    joined,
    plain,
)

PRECISE = frozenset(
    (
        *("attr", "capitalize", "d", "default", "first", "format", "last", "list", "lower"),
        *("max", "min", "random", "replace", "reverse", "string", "sum", "trim", "upper"),
    )
)
"""Filters that make their texts by methods that carry marks along, and by nothing else."""


class Generator(CodeGenerator):
    """Writes the `~` operator so that origins survive."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        """`a ~ b`"""
        self.write("environment.tie((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class Generation(Extension):
    """`{% generation %}`: marks what a model learns from in training; here it is just text."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements between the tags, as a scope of their own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return [nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)]

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for one rendering.

    Attributes:
        lost: whether some content went into a text whose marks could not be kept.
    """

    code_generator_class = Generator
    concat = staticmethod(joined)

    def __init__(self, now: datetime | None = None) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[Generation, loopcontrols],
            finalize=as_text,
        )
        self.lost = False
        self.filters["tojson"] = to_json
        self.filters = {name: self._tracing(name, call) for name, call in self.filters.items()}
        self.filters["join"] = self._join
        self.globals.update(
            raise_exception=raise_exception,
            strftime_now=lambda form: (now or datetime.now()).strftime(form),
            dict=TemplateDict(),
            namespace=TemplateNamespace,
        )
        del self.globals["lipsum"]

    # ------------------------------------------------------------------ origins

    def tie(self, parts: Iterable[Any]) -> Traced:
        """What `~` makes."""
        return joined(map(as_text, parts))

    def _join(self, value: Any, d: str = "", attribute: str | int | None = None) -> Any:
        if attribute is not None:
            value = [self.getitem(item, attribute) for item in value]
        return traced(as_text(d)).join(map(as_text, value))

    def _tracing(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that gets texts with marks, and gives one."""

        @wraps(call)
        def traced_call(*args: Any, **kwargs: Any) -> Any:
            result = call(*map(traced, args), **kwargs)
            if isinstance(result, Traced) and name not in PRECISE:
                result = plain(result)
            return self._lifted(result, [*args, *kwargs.values()])

        return traced_call

    def _lifted(self, result: Any, sources: list[Any]) -> Any:
        """A result whose marks were lost, as content if anything of it may be."""
        if not isinstance(result, str | bytes) or isinstance(result, Traced):
            return result
        if not any(map(has_content, sources)):
            return result
        if type(result) is not str:  # Markup, or bytes
            self.lost = True
            return result
        return Traced(result, CONTENT * len(result))

    # ------------------------------------------------------------------ what a template may do

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`"""
        return super().getattr(traced(obj), attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`"""
        return super().getitem(traced(obj), argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """`obj(...)`"""
        result = super().call(__context, __obj, *args, **kwargs)
        owner = getattr(__obj, "__self__", None)
        return __self._lifted(result, [owner, *args, *kwargs.values()])

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`text.format`, whose fields reach no further than the template itself does."""
        owner = getattr(value, "__self__", None)
        if not isinstance(owner, Traced) or value.__name__ not in ("format", "format_map"):
            return super().wrap_str_format(value)
        run = TracedFormatter(SandboxedFormatter(self).get_field).run
        if value.__name__ == "format_map":
            return lambda mapping: run(owner, (), mapping)
        return lambda *args, **kwargs: run(owner, args, kwargs)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Refuse at once: printing the name alone would otherwise look like an empty text."""
        raise SecurityError(f"{attribute!r} of a {type(obj).__name__} is out of its reach")


class TemplateDict:
    """`dict(...)`, without the type itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        """As of `dict`."""
        return dict.fromkeys(*args)


class TemplateNamespace(Namespace):
    """`namespace(...)`, which stores no name that begins with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, rest = args[0], args[1:]
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"{name!r} begins with an underscore, which no namespace may hold")


def traced(value: Any) -> Any:
    """A text without marks is the template's own; anything else stays as it is."""
    return Traced(value, TEMPLATE * len(value)) if type(value) is str else value


def raise_exception(message: str) -> NoReturn:
    """How a template refuses a conversation."""
    raise TemplateError(message)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """`tojson` without Jinja's escapes for HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
