"""What a pickle may hold: the allow-list of the names that it may refer to, and what is made in their place.

Plain containers, numbers, strings, numpy arrays, and two classes as inert records: `argparse.Namespace`, and any class
named `Vocabulary`. No name is imported: it is looked up in `ALLOWED`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from vsezoo.conversion.arrays import require_dtype, settle
from vsezoo.conversion.files import Refusal, show


@dataclass
class Record:
    """The attributes of an object whose class is not used: plain data, of which nothing can be called.

    Attributes:
        attributes: by name.
    """

    attributes: dict[str, Any] = field(default_factory=dict)

    def __new__(cls, *ignored: Any) -> Self:
        """Make it as a pickle does, which calls no `__init__`."""
        record = super().__new__(cls)
        record.attributes = {}
        return record

    def __setstate__(self, state: Any) -> None:
        """Take the attributes that the pickle gives."""
        if type(state) is not dict or not all(type(name) is str for name in state):
            raise Refusal(f"gives a {type(self).__name__} something else than named attributes.")
        self.attributes.update(state)


class Namespace(Record):
    """An `argparse.Namespace`: the options of a command."""


class Vocabulary(Record):
    """An object of a class named `Vocabulary`, of whatever module."""


class ByteString(bytes):
    """A `str` of Python 2: bytes until it is known that they are text."""


def as_text(value: Any) -> Any:
    """Return a `ByteString` as text: UTF-8 if it is that, else Latin-1; anything else as it is."""
    if type(value) is not ByteString:
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


@dataclass(frozen=True)
class Global:
    """A name that a pickle refers to, and what is called where the pickle would call it."""

    name: str
    build: Callable[..., Any]


def find_global(module: str, name: str, more: dict[str, Callable[..., Any]]) -> Global:
    """Return what stands for a name: from `ALLOWED`, from `more`, or the record for a class named `Vocabulary`.

    Raises:
        Refusal: for any other name.
    """
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)  # as Python 2 names them
    full = f"{module}.{name}"
    known = {**ALLOWED, **more}.get(re.sub(r"^numpy\.core\.", "numpy._core.", full))
    if known is None and name == "Vocabulary":
        known = Vocabulary
    if known is None:
        usual = f" (os.{name})" if module in ("posix", "nt") else ""  # pickles name the module of the system
        raise Refusal(
            f"refers to {show(full + usual)}, which is not among the plain data that is read from such files. Nothing "
            "of it was executed.",
            "If you trust its origin, load it with the code that wrote it, and save a state_dict or a dictionary "
            "of plain numbers and strings.",
        )
    return Global(full, known)


def require_key(key: Any) -> None:
    """Refuse what a dictionary or set would take long, or crash, to find again."""
    for part in key if type(key) is tuple else (key,):
        if type(part) not in KEY_TYPES or (type(part) is int and abs(part) >= 2**60):
            raise Refusal("has a dictionary key or member of a set that is no plain string or number.")


KEY_TYPES = (str, bytes, int, float, bool, type(None))


def make_dtype(code: Any, align: Any = False, copy: Any = True) -> np.dtype[Any]:
    """Return a numpy type of its own, which `set_dtype` may change."""
    code = as_text(code)
    if type(code) is not str or not re.fullmatch(r"[<>=|]?(b1|[iu][1248]|f[248]|[SU]\d{1,6})", code):
        raise Refusal(f"has an array of type {show(code)}; only numbers and strings are read.")
    return np.dtype(code, copy=True)  # type: ignore[no-any-return, call-overload, unused-ignore]


def set_dtype(dtype: np.dtype[Any], state: Any) -> None:
    """Set the byte order that a pickle states."""
    sound = type(state) is tuple and len(state) >= 8 and state[0] in (3, 4) and state[2:5] == (None, None, None)
    if not sound or state[1] not in ("<", ">", "=", "|") or state[5] not in (-1, dtype.itemsize):
        raise Refusal("describes the type of an array in a way that numpy does not write.")
    sizes = (-1, -1) if state[5] == -1 else (dtype.itemsize, dtype.alignment)
    dtype.__setstate__((3, state[1], None, None, None, *sizes, 0))  # type: ignore[attr-defined, unused-ignore]


def make_array(*ignored: Any) -> np.ndarray[Any, Any]:
    """Return an array that `set_array` fills."""
    return np.empty(0, np.float32)


def set_array(array: np.ndarray[Any, Any], state: Any) -> None:
    """Fill an array from the state that numpy pickles: version, shape, type, order, bytes."""
    if type(state) is not tuple or len(state) != 5:
        raise Refusal("has an array without shape, type and numbers.")
    _, shape, dtype, fortran, raw = state
    value = np.ascontiguousarray(make_filled_array(raw, dtype, shape, "F" if fortran else "C"))
    fill: Any = array.__setstate__
    fill((1, value.shape, value.dtype, False, value.tobytes()))


def make_filled_array(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray[Any, Any]:
    """Return the array of bytes, a type and a shape, as `settle` leaves it."""
    return settle(read_buffer(raw, dtype, shape, order))


def read_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    """Return the array of bytes, a type and a shape, once the three agree."""
    raw = raw.encode("latin-1") if type(raw) is str else raw
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, np.dtype) or order not in ("C", "F"):
        raise Refusal("has an array that is not made of numbers or strings.")
    size = require_dtype(dtype, shape)
    if size != len(raw):
        raise Refusal(f"has an array of shape {show(shape)} that wants {size:,} bytes and has {len(raw):,}.")
    array: np.ndarray[Any, Any] = np.frombuffer(raw, dtype).reshape(shape, order=order)
    return array


def make_number(dtype: Any, raw: Any = b"") -> Any:
    """Return a numpy scalar as the number or string of Python."""
    return read_buffer(raw, dtype, (1,), "C").tolist()[0]


def make_bytes(text: Any, encoding: Any) -> bytes:
    """Return bytes as the protocols before 3 write them, as letters of Latin-1."""
    if type(text) is not str or as_text(encoding) not in ("latin1", "latin-1"):
        raise Refusal("has bytes in an encoding that pickles do not use.")
    return text.encode("latin-1")


def make_bytearray(*content: Any) -> bytearray:
    """Return a bytearray: of nothing, of bytes, or of letters of Latin-1."""
    if len(content) == 2:
        return bytearray(make_bytes(*content))
    if content and type(content[0]) not in (bytes, ByteString):
        raise Refusal("has a bytearray that is not made of bytes.")
    return bytearray(*content)


def make_set(items: Any = ()) -> set[Any]:
    """Return a set of plain members."""
    if type(items) not in (list, tuple):
        raise Refusal("has a set that is not made of a list.")
    for item in items:
        require_key(item)
    return set(items)


def make_dictionary(pairs: Any = ()) -> OrderedDict[Any, Any]:
    """Return the ordered dictionary of a list of pairs."""
    if type(pairs) not in (list, tuple) or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise Refusal("has a dictionary that is not made of pairs.")
    made: OrderedDict[Any, Any] = OrderedDict()
    for key, value in pairs:
        set_item(made, key, value)
    return made


def set_item(target: dict[Any, Any], key: Any, value: Any) -> None:
    """Put a pair into a dictionary; a key that is there already is refused."""
    require_key(key)
    if key in target:
        raise Refusal(f"has the key {show(repr(key))} twice in one dictionary.")
    target[key] = value


def make_complex(real: Any, imag: Any) -> complex:
    """Return a complex number."""
    if type(real) is not float or type(imag) is not float:
        raise Refusal("has a complex number that is not made of two numbers.")
    return complex(real, imag)


def restore(cls: Any, base: Any, state: Any) -> Record:
    """Return the record that Python 2 makes by `copy_reg._reconstructor`."""
    if not isinstance(cls, Global) or cls.build not in (Namespace, Vocabulary) or state is not None:
        raise Refusal("makes an object of something else than a Namespace or a Vocabulary.")
    record: Record = cls.build()
    return record


def refuse_call(*ignored: Any) -> None:
    """Refuse to call what only stands as a name."""
    raise Refusal("calls a class that it may only name.")


ALLOWED: dict[str, Callable[..., Any]] = {
    "argparse.Namespace": Namespace,
    "_codecs.encode": make_bytes,
    "builtins.bytes": lambda: b"",  # as protocol 2 writes empty bytes
    "builtins.bytearray": make_bytearray,
    "builtins.complex": make_complex,
    "builtins.frozenset": lambda items=(): frozenset(make_set(items)),
    "builtins.object": refuse_call,
    "builtins.set": make_set,
    "collections.OrderedDict": make_dictionary,
    "copyreg._reconstructor": restore,
    "numpy.dtype": make_dtype,
    "numpy.ndarray": refuse_call,
    "numpy._core.multiarray._reconstruct": make_array,
    "numpy._core.multiarray.scalar": make_number,
    "numpy._core.numeric._frombuffer": make_filled_array,
}
"""What a pickle may refer to, by the names of Python 3 and NumPy 2, and what is called instead."""
