"""A pickle interpreter that can build data and nothing else.

Arguments of opcodes are decoded by the standard library's `pickletools`, which runs nothing; the
few opcodes that a checkpoint needs are carried out here on plain containers. A name in the pickle
is looked up in the caller's allow-list and stands for the callable found there, one of ours that
makes an inert value. Nothing is ever imported, and no other callable can be reached.
"""

import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, Protocol, cast, runtime_checkable

from nonesuch.errors import CheckpointError, UnsafeCheckpoint
from nonesuch_export.checkpoint.source import Bounded, Text, text

Make = Callable[..., Any]

_LARGEST_KEY = 2**60  # addresses in memory are keys in some files
_NESTED_STEPS = 100  # what a call with bytes may cost: they may be a container of pickles

# What malformed streams raise inside pickletools and on our stack.
_DAMAGE = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError,
           RecursionError)  # fmt: skip


@runtime_checkable
class Buildable(Protocol):
    """A stand-in that takes the state which the BUILD opcode hands over."""

    def build(self, state: Any) -> None: ...


class Name:
    """A name of the pickle that the allow-list knows; inert unless the interpreter calls it."""

    __slots__ = ("make", "path")

    def __init__(self, path: str, make: Make) -> None:
        self.path = path
        self.make = make


def load(
    stream: Bounded, names: Mapping[str, Make], persistent: Callable[[Any], Any] | None = None
) -> Any:
    """Interpret one pickle from `stream` and leave it behind the pickle's end.

    `names` maps `module.name` to what a call of that name makes; `persistent` makes the value
    of a persistent id. Raises UnsafeCheckpoint for any other name or a way of calling that data
    does not need, CheckpointError where the stream is damaged.
    """
    machine = _Machine(names, persistent, stream)
    opcode = ""
    try:
        while opcode != "STOP":
            opcode, decode = _OPCODES[stream.read(1)]
            stream.spend(1)
            machine.step(opcode, decode(stream) if decode else None)
        return machine.stack.pop()
    except _DAMAGE as exc:
        raise CheckpointError(f"the pickle is damaged or cut short: {_brief(exc)}") from exc


def plain(keys: Iterable[Any]) -> list[Any]:
    """Keys of a dict or members of a set; must be simple, hashing others can take for ever.

    So can large numbers, which are easily chosen to have one hash.
    """
    found = list(keys)
    for key in found:
        simple = isinstance(key, str | bytes | None)
        if not simple and not (isinstance(key, int) and abs(key) < _LARGEST_KEY):
            raise TypeError(f"a {type(key).__name__} is a key or a member of a set")
    return found


def shown(value: Any) -> str:
    """A value of a pickle for a message; never the repr of something large."""
    if isinstance(value, str):
        return repr(value[:60])
    simple = isinstance(value, int | float | None)
    if isinstance(value, list) and len(value) <= 4:
        simple = all(isinstance(v, int | float) for v in value)
    return repr(value)[:60] if simple else f"a {type(value).__name__}"


def _brief(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {str(exc)[:120]}"


class _Machine:
    """The pickle virtual machine, reduced to data."""

    def __init__(
        self, names: Mapping[str, Make], persistent: Callable[[Any], Any] | None, stream: Bounded
    ) -> None:
        self.stack: list[Any] = []
        self._stream = stream
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._names = names
        self._persistent = persistent

    def step(self, opcode: str, arg: Any) -> None:
        if opcode in _LITERALS:
            self.stack.append(arg)
        elif opcode in _FRESH:
            self.stack.append(_FRESH[opcode]())
        elif opcode in _STEPS:
            _STEPS[opcode](self, arg)
        elif opcode not in _NOTHING:
            raise UnsafeCheckpoint(f"the pickle uses {opcode}, which no checkpoint needs")

    def pop_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def mark(self, _: Any) -> None:
        self._marks.append(len(self.stack))

    def put(self, index: int) -> None:
        self._memo[index] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self._memo[index])

    def tuple_of(self, size: int) -> None:
        if size > len(self.stack):
            raise IndexError("stack is too short")
        items = tuple(self.stack[len(self.stack) - size :])
        del self.stack[len(self.stack) - size :]
        self.stack.append(items)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError("items for something that is no list")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError("pairs for something that is no dict")
        target.update(zip(plain(items[::2]), items[1::2], strict=True))

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            raise TypeError("members for something that is no set")
        target.update(plain(items))

    def find(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("a name is no text")
        path = f"{module}.{name}"
        if path not in self._names:
            raise UnsafeCheckpoint(f"the pickle names {path[:120]}, which no checkpoint needs")
        self.stack.append(Name(path, self._names[path]))

    def instance(self, arg: str) -> None:
        path = arg.replace(" ", ".")[:120]
        raise UnsafeCheckpoint(f"the pickle names {path}, which no checkpoint needs")

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.find(module, name)

    def call(self, _: Any) -> None:
        args, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or not isinstance(args, tuple):
            raise UnsafeCheckpoint("the pickle calls something that is no known name")
        for arg in args:  # a call may copy it, and it can be handed over again and again
            if isinstance(arg, list | dict | set | tuple):
                self._stream.spend(len(arg))
            elif isinstance(arg, str):
                self._stream.spend(0, len(arg))
            elif isinstance(arg, bytes | memoryview | Text):
                self._stream.spend(min(len(arg), _NESTED_STEPS))
        self.stack.append(name.make(*args))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Buildable):
            target.build(state)
        elif not isinstance(target, dict):  # attributes of a dict, such as _metadata, are dropped
            raise UnsafeCheckpoint(f"the pickle sets the state of a {type(target).__name__}")

    def persistent_id(self, _: Any) -> None:
        if self._persistent is None:
            raise UnsafeCheckpoint("the pickle refers to data outside itself")
        self.stack.append(self._persistent(self.stack.pop()))


_NOTHING = frozenset({"PROTO", "FRAME", "STOP"})
_LITERALS = frozenset({
    "NONE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
    "BYTEARRAY8",  # protocol 5, of arrays
    "SHORT_BINSTRING", "BINSTRING",  # Python 2; decoded as latin-1, a character a byte
})  # fmt: skip
_FRESH: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_mark())),
    "APPEND": lambda m, _: m.extend([m.stack.pop()]),
    "APPENDS": lambda m, _: m.extend(m.pop_mark()),
    "SETITEM": lambda m, _: m.update([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.update(m.pop_mark()),
    "ADDITEMS": lambda m, _: m.add(m.pop_mark()),
    "GLOBAL": lambda m, arg: m.find(*arg.split(" ", 1)),
    "INST": _Machine.instance,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent_id,
}


def _text(read_size: Callable[[BinaryIO], int], encoding: str) -> Callable[[Bounded], str | Text]:
    """What reads a text behind its size in bytes."""
    return lambda stream: text(stream, read_size(cast(BinaryIO, stream)), encoding)


def _line(stream: Bounded) -> str:
    """A line without its end; the library's own would decode escapes, and warn of odd ones."""
    if not (line := stream.readline()).endswith(b"\n"):
        raise ValueError("a line has no end")
    return line[:-1].decode()


def _decoder(opcode: pickletools.OpcodeInfo) -> Callable[[Any], Any] | None:
    """What reads the argument of an opcode that has one."""
    if opcode.name in _DECODERS or opcode.arg is None:
        return _DECODERS.get(opcode.name)
    return _line if opcode.arg.n == pickletools.UP_TO_NEWLINE else opcode.arg.reader


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "BYTEARRAY8": pickletools.read_bytes8,  # not a copy
    "BINSTRING": _text(pickletools.read_uint4, "latin-1"),  # of Python 2
    "BINUNICODE": _text(pickletools.read_uint4, "utf-8"),
    "BINUNICODE8": _text(pickletools.read_uint8, "utf-8"),
    "GLOBAL": lambda stream: f"{_line(stream)} {_line(stream)}",
    "INST": lambda stream: f"{_line(stream)} {_line(stream)}",
}
# Name, and decoder of the argument if there is one, of each opcode by its byte.
_OPCODES = {o.code.encode("latin-1"): (o.name, _decoder(o)) for o in pickletools.opcodes}


def _dict(items: Any = ()) -> dict[Any, Any]:
    pairs = list(items.items() if isinstance(items, dict) else items)
    return dict(zip(plain(key for key, _ in pairs), (value for _, value in pairs), strict=True))


def _encoded(text: str | Text, *_: Any) -> bytes | Text:
    """Bytes, as protocol 2 writes them; those that are long stay a text until they are needed."""
    return text if isinstance(text, Text) else text.encode("latin-1")


# Containers that a pickle makes by name.
CONTAINERS: dict[str, Make] = {
    "collections.OrderedDict": _dict,
    "collections.defaultdict": lambda *_: {},
    "collections.Counter": _dict,
    "builtins.dict": _dict,
    "builtins.set": lambda items=(): set(plain(items)),
    "__builtin__.dict": _dict,  # what protocol 2 calls it
    "__builtin__.set": lambda items=(): set(plain(items)),
    "_codecs.encode": _encoded,
}
