"""A machine that builds the value of a pickle without executing anything: every opcode is carried out here.

Python's own unpickler imports what a pickle names, calls it, and sets attributes as the pickle likes. This one looks a
name up in a list (`contents.find_global`), calls only what stands in that list, and builds only what it knows. Its
work is bounded by the number of steps, so that a small pickle cannot become large: a step is an opcode, and 64 bytes or
one member of what a call copies.
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
"""Steps of one pickle: a dictionary of 100,000 words, with its inverse, has about 700,000."""

INTEGER = 255
"""Bytes of a whole number."""

_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


class PickleMachine:
    """Builds the value of one pickle.

    Args:
        stream: at the start of the pickle; left behind its end. In memory, so that no declared size is believed.
        more: names that it may refer to beside `contents.ALLOWED`, and what is called for them.
        load_persistent: what gives the object of a persistent id; None: there are none.
        protocols: that the pickle may have.

    Attributes:
        found: the names that it refers to, and what stands for them.
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
            Refusal: for what is not built, or a pickle that is too large.
            Exception: of any kind, for a damaged pickle.
        """
        while True:
            self._work(1)
            opcode = _OPCODES.get(self._stream.read(1))
            if opcode is None:
                raise Refusal("ends, or goes on with something else, before its pickle is complete.")
            if opcode.name == "STRING":  # pickletools reads it as ASCII; Python 2 put any bytes there
                quoted = pickletools.read_stringnl(self._stream, decode=False)
                self._stack.append(ByteString(codecs.escape_decode(quoted)[0]))
                continue
            argument = opcode.arg.reader(self._stream) if opcode.arg else None
            if opcode.name == "STOP":
                value = as_text(self._stack.pop())
                if self._stack or self._marks:
                    raise Refusal("has a pickle that leaves something over.")
                return value
            self._execute(opcode.name, argument)

    def _execute(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4":
                if argument.bit_length() > 8 * INTEGER:
                    raise Refusal(f"has a whole number of more than {INTEGER} bytes.")
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
                    raise Refusal("takes what it did not put aside: it is damaged.")
                stack.append(self._memo[argument])
            case "MARK":
                self._marks.append(stack)
                self._stack = []
            case "POP_MARK":
                self._pop_mark()
            case "POP" if stack:
                stack.pop()
            case "POP":  # nothing above the last mark: it takes the mark
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
                        f"holds a pickle of protocol {argument}; what is read here has {_list(self._protocols)}.",
                        "Load it with the code that wrote it, and save it again as that code does by default.",
                    )
            case "FRAME":
                held = len(self._stream.getbuffer()) - self._stream.tell()
                if argument > held:
                    raise Refusal(f"announces {argument:,} bytes more and has {held:,}: its end is missing.")
            case _:
                raise Refusal(f"uses the opcode {name}, for which vsezoo has no use.")

    def _work(self, steps: int) -> None:
        self._steps += steps
        if self._steps > STEPS:
            raise Refusal(f"holds a pickle of more than {STEPS:,} steps: that is no options and no vocabulary.")

    def _require(self, length: int) -> list[Any]:
        if len(self._stack) < length:
            raise IndexError("its pickle takes more than there is")
        return self._stack[-length:]

    def _pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _top(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise Refusal(f"adds to what is no {kind.__name__}.")
        return self._stack[-1]

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, OrderedDict) or len(items) % 2:
            raise Refusal("sets pairs of what is no dictionary.")
        for key, value in zip(items[::2], items[1::2], strict=True):
            set_item(target, as_text(key), as_text(value))

    def _find(self, module: Any, name: Any) -> None:
        found = find_global(module, name, self._more)
        self.found[found.name] = found.build
        self._stack.append(found)

    def _call(self, function: Any, arguments: Any) -> Any:
        if type(function) is not Global or type(arguments) is not tuple:
            raise Refusal("calls what is no name.")
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
        elif type(target) is not OrderedDict:  # torch notes versions on the dictionaries of its tensors; nobody asks
            raise Refusal(f"sets attributes of what is no record: {show(type(target).__name__)}.")


def _list(protocols: tuple[int, ...]) -> str:
    return " or ".join(map(str, protocols))


def _make_tuple(items: list[Any]) -> tuple[Any, ...]:
    # Beside a numpy type, bytes of Python 2 are the numbers of an array; anywhere else they are text.
    if any(isinstance(item, np.dtype) for item in items):
        return tuple(items)
    return tuple(as_text(item) for item in items)


def _measure(argument: Any) -> int:
    if isinstance(argument, str | bytes | bytearray):
        return len(argument) // 64
    return len(argument) if isinstance(argument, list | tuple | set | dict) else 0
