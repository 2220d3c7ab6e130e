"""Pickles read by a machine that can build plain values only.

    value = read_pickle(data, {"collections.OrderedDict": make_dictionary})

A pickle is a program, and Python's own unpickler runs whatever it names. This machine knows the
opcodes of protocols 0 to 5 that make numbers, texts, containers and references, and calls nothing
but the makers that it is given: any other name is refused by that name. Python's unpickler with a
guarded `find_class` would not do: it makes its memo as large as any number in the file says, sets
attributes of whatever it is told to, and hashes nested tuples without end.

Source: the opcodes' own documentation, `pickletools` of the standard library, which also decodes
their arguments here.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from zigllm_cli.errors import InputError

Maker = Callable[..., Any]
"""What stands for a name in a pickle: called with the arguments that the pickle gives it."""

KEYS = (str, int, float, bool, bytes, type(None))
"""Kinds of dictionary keys: they hash in constant time."""

TUPLE_DEPTH = 100
"""Tuples within tuples; real files have three."""

MOST_COPIED = 1 << 20
"""Items of containers that makers are given in all: files of torch give them a few."""


class Name:
    """A name in a pickle that has a maker. It has no attributes that a pickle could set."""

    __slots__ = ("full", "make")

    def __init__(self, full: str, make: Maker) -> None:
        self.full, self.make = full, make


class _Mark:
    """Where a list of arguments begins on the stack."""


MARK = _Mark()


class Stream(Protocol):
    """What a pickle is read from; `read` must not reserve more than there is (mmap, BytesIO)."""

    def read(self, count: int = ..., /) -> bytes: ...
    def readline(self) -> bytes: ...
    def tell(self) -> int: ...


def read_pickle(
    stream: Stream,
    names: Mapping[str, Maker],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The value of the pickle that begins where the stream stands; leaves it behind the pickle.

    Args:
        names: makers by `module.name`.
        persistent: makes what a persistent id stands for.

    Raises:
        InputError: a name that is not allowed, or no sound pickle.
    """
    machine = _Machine(names, persistent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strange escapes in texts
            for opcode, argument, _ in pickletools.genops(cast(Any, stream)):
                machine.step(opcode.name, argument)
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise InputError(f"its pickle is damaged: {error}") from None
    return machine.result


class _Machine:
    """A stack, a memo, and what every opcode does to them."""

    def __init__(self, names: Mapping[str, Maker], persistent: Callable[[Any], Any] | None) -> None:
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.tuples: list[tuple[Any, ...]] = []
        self.depths: dict[int, int] = {}
        self.copied = 0
        self.result: Any = None

    def step(self, opcode: str, argument: Any) -> None:
        """Do what one opcode says."""
        if opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in ARGUMENTS:
            self.stack.append(argument)
        elif opcode in OPERATIONS:
            OPERATIONS[opcode](self, argument)
        elif opcode not in IGNORED:
            raise InputError(
                f"a pickle in it uses the opcode {opcode}, which no file of tensors needs: it was"
                " not run"
            )

    def pop(self) -> Any:
        """The top of the stack."""
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a mark stands where a value should")
        return value

    def popped(self) -> list[Any]:
        """Everything above the last mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                values = self.stack[place + 1 :]
                del self.stack[place:]
                return values
        raise ValueError("a mark is missing")

    def top(self, kind: type) -> Any:
        """The top of the stack, which must be of this kind, left there."""
        value = self.stack[-1]
        if value is MARK or not isinstance(value, kind):
            raise ValueError(f"a {kind.__name__} is missing")
        return value

    # -------------------------------------------------------------- containers

    def push_tuple(self, items: list[Any]) -> None:
        """A tuple, not too deep: whatever compares or prints it recurses."""
        depth = 1 + max((self.depths.get(id(item), 0) for item in items), default=0)
        if depth > TUPLE_DEPTH:
            raise ValueError(f"tuples are nested more than {TUPLE_DEPTH} deep")
        value = tuple(items)
        self.tuples.append(value)  # its id is its own as long as it lives
        self.depths[id(value)] = depth
        self.stack.append(value)

    def set_items(self, pairs: list[Any]) -> None:
        """Keys and values, in turn, into the dictionary on top."""
        target = self.top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, KEYS):
                raise ValueError(f"a {type(key).__name__} is the key of a dictionary")
            target[key] = value

    def add_items(self, items: list[Any]) -> None:
        """Items into the set on top."""
        if not all(isinstance(item, KEYS) for item in items):
            raise ValueError("a container is an item of a set")
        self.top(set).update(items)

    def push_set(self, items: list[Any]) -> None:
        """A set of its own."""
        self.stack.append(set())
        self.add_items(items)

    def push_dictionary(self, pairs: list[Any]) -> None:
        """A dictionary of its own."""
        self.stack.append({})
        self.set_items(pairs)

    def drop(self, _: Any) -> None:
        """What was taken from the stack is not wanted."""

    def append(self, items: list[Any]) -> None:
        """Items to the list on top."""
        self.top(list).extend(items)

    # -------------------------------------------------------------- names

    def push_name(self, module: Any, name: Any) -> None:
        """A name, if it is one of the allowed."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("the name of a class is not text")
        full = f"{module}.{name}"
        if full not in self.names:
            raise InputError(
                f"it names {full[:200]!r}, which is neither a tensor nor a plain container: nothing"
                " of it was run. Save it anew with torch.save(model.state_dict(), ...)"
            )
        self.stack.append(Name(full, self.names[full]))

    def reduce(self) -> None:
        """Call the maker of a name."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise InputError("a pickle in it calls something that is no name: it was not run")
        self.copied += sum(len(x) for x in arguments if isinstance(x, list | dict | set))
        if self.copied > MOST_COPIED:
            raise ValueError("it copies containers over and over")
        self.stack.append(name.make(*arguments))

    def build(self) -> None:
        """Attributes of a dictionary (torch's `_metadata`) are dropped; nothing else has any."""
        self.pop()
        self.top(dict)

    def push_persistent(self, identity: Any) -> None:
        """What stands outside of the pickle."""
        if self.persistent is None:
            raise ValueError("it refers to something outside of it")
        self.stack.append(self.persistent(identity))

    # -------------------------------------------------------------- memo

    def remember(self, place: Any) -> None:
        """Keep the top of the stack under a number."""
        if self.stack[-1] is MARK:
            raise ValueError("a mark cannot be remembered")
        self.memo[int(place)] = self.stack[-1]

    def stop(self) -> None:
        """The result."""
        self.result = self.pop()
        if self.stack:
            raise ValueError("values are left over")


Step = Callable[[_Machine, Any], None]

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": MARK}

# fmt: off
ARGUMENTS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
})
# fmt: on

IGNORED = frozenset({"PROTO", "FRAME"})

OPERATIONS: dict[str, Step] = {
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_SET": lambda m, _: m.stack.append(set()),
    "EMPTY_TUPLE": lambda m, _: m.push_tuple([]),
    "TUPLE1": lambda m, _: m.push_tuple([m.pop()]),
    "TUPLE2": lambda m, _: m.push_tuple([m.pop(), m.pop()][::-1]),
    "TUPLE3": lambda m, _: m.push_tuple([m.pop(), m.pop(), m.pop()][::-1]),
    "TUPLE": lambda m, _: m.push_tuple(m.popped()),
    "LIST": lambda m, _: m.stack.append(m.popped()),
    "APPEND": lambda m, _: m.append([m.pop()]),
    "APPENDS": lambda m, _: m.append(m.popped()),
    "SETITEM": lambda m, _: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.set_items(m.popped()),
    "ADDITEMS": lambda m, _: m.add_items(m.popped()),
    "FROZENSET": lambda m, _: m.push_set(m.popped()),
    "DICT": lambda m, _: m.push_dictionary(m.popped()),
    "POP": lambda m, _: m.drop(m.stack.pop()),
    "POP_MARK": lambda m, _: m.drop(m.popped()),
    "DUP": lambda m, _: m.stack.append(m.top(object)),
    "GLOBAL": lambda m, name: m.push_name(*name.split(" ", 1)),
    "INST": lambda m, name: m.push_name(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.push_name(*[m.pop(), m.pop()][::-1]),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
    "PERSID": lambda m, identity: m.push_persistent(identity),
    "BINPERSID": lambda m, _: m.push_persistent(m.pop()),
    "PUT": lambda m, place: m.remember(place),
    "BINPUT": lambda m, place: m.remember(place),
    "LONG_BINPUT": lambda m, place: m.remember(place),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "GET": lambda m, place: m.stack.append(m.memo[int(place)]),
    "BINGET": lambda m, place: m.stack.append(m.memo[place]),
    "LONG_BINGET": lambda m, place: m.stack.append(m.memo[place]),
    "STOP": lambda m, _: m.stop(),
}
