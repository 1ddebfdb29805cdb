"""A pickle virtual machine that executes no code from the file: every opcode is interpreted here.

Python's own unpickler imports names from a pickle, calls them, and sets arbitrary attributes. This one looks names up
in an allow-list (`pickle_contents.find_global`), calls only functions in that list, and builds only known types. Its
work is bounded by a number of steps, so that a small pickle cannot expand: a step is an opcode, or 64 bytes or one
member copied by a call.
"""

from __future__ import annotations

import codecs
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np

from vsezoo.conversion.files import Refusal, show
from vsezoo.conversion.pickle_contents import (
    ByteString,
    Global,
    Record,
    as_text,
    find_global,
    make_set,
    set_array,
    set_dtype,
    set_item,
)

STEPS = 1_000_000
"""Most steps of one pickle: a dictionary of 100,000 words and its inverse have about 700,000."""

INTEGER = 255
"""Most bytes of an integer."""

_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


class PickleMachine:
    """Builds the value of one pickle.

    Args:
        stream: positioned at the start of the pickle, and afterwards at its end. In memory, so that declared sizes need
            not be trusted.
        more: names allowed in addition to `pickle_contents.ALLOWED`, with their functions.
        load_persistent: returns the object of a persistent id; None: there are none.
        protocols: the allowed protocols.

    Attributes:
        found: the names in the pickle, with their replacements.
    """

    def __init__(
        self,
        stream: BytesIO,
        more: dict[str, Callable[..., Any]] | None = None,
        load_persistent: Callable[[Any], Any] | None = None,
        protocols: tuple[int, ...] = (0, 1, 2, 3, 4, 5),
    ) -> None:
        self.found: dict[str, Callable[..., Any]] = {}
        self._stream = stream
        self._more = more or {}
        self._load_persistent = load_persistent
        self._protocols = protocols
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._steps = 0

    def run(self) -> Any:
        """Return the value.

        Raises:
            Refusal: for forbidden contents, or a pickle that is too large.
            Exception: of any kind, for a damaged pickle.
        """
        while True:
            self._work(1)
            opcode = _OPCODES.get(self._stream.read(1))
            if opcode is None:
                raise Refusal("ends before its pickle is complete, or continues with something else.")
            if opcode.name == "STRING":  # pickletools reads it as ASCII, but Python 2 wrote arbitrary bytes
                quoted = pickletools.read_stringnl(self._stream, decode=False)
                self._stack.append(ByteString(codecs.escape_decode(quoted)[0]))
                continue
            argument = opcode.arg.reader(self._stream) if opcode.arg else None
            if opcode.name == "STOP":
                value = as_text(self._stack.pop())
                if self._stack or self._marks:
                    raise Refusal("has a pickle with leftover values.")
                return value
            self._execute(opcode.name, argument)

    def _execute(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4":
                if argument.bit_length() > 8 * INTEGER:
                    raise Refusal(f"has an integer of more than {INTEGER} bytes.")
                stack.append(argument)
            case "UNICODE" | "SHORT_BINUNICODE" | "BINUNICODE" | "BINUNICODE8" | "FLOAT" | "BINFLOAT":
                stack.append(argument)
            case "SHORT_BINBYTES" | "BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                stack.append(argument)
            case "BINSTRING" | "SHORT_BINSTRING":
                stack.append(ByteString(argument.encode("latin-1")))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_SET":
                stack.append({"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}[name]())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                if argument not in self._memo:
                    raise Refusal("reads a memo entry that does not exist: it is damaged.")
                stack.append(self._memo[argument])
            case "MARK":
                self._marks.append(stack)
                self._stack = []
            case "POP_MARK":
                self._pop_mark()
            case "POP" if stack:
                stack.pop()
            case "POP":  # nothing above the last mark: the mark itself is popped
                self._pop_mark()
            case "DUP":
                stack.append(stack[-1])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(name[-1])
                stack[-length:] = [_make_tuple(self._require(length))]
            case "TUPLE":
                items = self._pop_mark()
                self._stack.append(_make_tuple(items))
            case "LIST":
                items = self._pop_mark()
                self._stack.append([as_text(item) for item in items])
            case "FROZENSET":
                items = self._pop_mark()
                self._stack.append(frozenset(make_set([as_text(item) for item in items])))
            case "DICT":
                items = self._pop_mark()
                self._stack.append({})
                self._set_items(items)
            case "APPEND":
                item = stack.pop()
                self._top(list).append(as_text(item))
            case "APPENDS":
                items = self._pop_mark()
                self._top(list).extend(as_text(item) for item in items)
            case "ADDITEMS":
                items = self._pop_mark()
                self._top(set).update(make_set([as_text(item) for item in items]))
            case "SETITEM":
                items = self._require(2)
                del stack[-2:]
                self._set_items(items)
            case "SETITEMS":
                self._set_items(self._pop_mark())
            case "GLOBAL":
                self._find(*argument.split(" ", 1))
            case "STACK_GLOBAL":
                module, attribute = map(as_text, self._require(2))
                del stack[-2:]
                self._find(module, attribute)
            case "REDUCE" | "NEWOBJ":
                function, arguments = self._require(2)
                stack[-2:] = [self._call(function, arguments)]
            case "INST":
                arguments = tuple(map(as_text, self._pop_mark()))
                self._find(*argument.split(" ", 1))
                self._stack[-1] = self._call(self._stack[-1], arguments)
            case "OBJ":
                function, *arguments = self._pop_mark()
                self._stack.append(self._call(function, tuple(map(as_text, arguments))))
            case "BUILD":
                state = as_text(stack.pop())
                self._build(stack[-1], state)
            case "BINPERSID" if self._load_persistent:
                stack[-1] = self._load_persistent(stack[-1])
            case "PROTO":
                if argument not in self._protocols:
                    raise Refusal(
                        f"is a pickle of protocol {argument}; supported protocols: {_list(self._protocols)}.",
                        "Load it with the code that wrote it, and save it again with the default protocol.",
                    )
            case "FRAME":
                held = len(self._stream.getbuffer()) - self._stream.tell()
                if argument > held:
                    raise Refusal(f"declares {argument:,} more bytes but has {held:,}: it is truncated.")
            case _:
                raise Refusal(f"uses the opcode {name}, which is not supported.")

    def _work(self, steps: int) -> None:
        self._steps += steps
        if self._steps > STEPS:
            raise Refusal(f"is a pickle of more than {STEPS:,} steps: too large for options or a vocabulary.")

    def _require(self, length: int) -> list[Any]:
        if len(self._stack) < length:
            raise IndexError("its pickle pops from an empty stack")
        return self._stack[-length:]

    def _pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _top(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise Refusal(f"adds to an object that is not a {kind.__name__}.")
        return self._stack[-1]

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, OrderedDict) or len(items) % 2:
            raise Refusal("sets items of an object that is not a dictionary.")
        for key, value in zip(items[::2], items[1::2], strict=True):
            set_item(target, as_text(key), as_text(value))

    def _find(self, module: Any, name: Any) -> None:
        found = find_global(module, name, self._more)
        self.found[found.name] = found.build
        self._stack.append(found)

    def _call(self, function: Any, arguments: Any) -> Any:
        if type(function) is not Global or type(arguments) is not tuple:
            raise Refusal("calls an object that is not a name.")
        self._work(sum(_measure(argument) for argument in arguments))
        try:
            return function.build(*arguments)
        except TypeError as error:
            raise Refusal(f"calls {show(function.name)} in a way that Python does not write.") from error

    def _build(self, target: Any, state: Any) -> None:
        if isinstance(target, Record):
            target.__setstate__(state)
        elif isinstance(target, np.ndarray):
            self._work(sum(map(_measure, state)) if type(state) is tuple else 0)
            set_array(target, state)
        elif isinstance(target, np.dtype):
            set_dtype(target, state)
        elif (
            type(target) is not OrderedDict
        ):  # torch sets version attributes on the dictionaries of its tensors, which are not needed
            raise Refusal(f"sets attributes of an object that is not a record: {show(type(target).__name__)}.")


def _list(protocols: tuple[int, ...]) -> str:
    return " or ".join(map(str, protocols))


def _make_tuple(items: list[Any]) -> tuple[Any, ...]:
    # Next to a numpy dtype, bytes of Python 2 are the data of an array; anywhere else they are text.
    if any(isinstance(item, np.dtype) for item in items):
        return tuple(items)
    return tuple(as_text(item) for item in items)


def _measure(argument: Any) -> int:
    if isinstance(argument, str | bytes | bytearray):
        return len(argument) // 64
    return len(argument) if isinstance(argument, list | tuple | set | dict) else 0
