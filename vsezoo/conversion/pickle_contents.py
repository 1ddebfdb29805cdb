"""The allowed contents of pickles: the names that they may refer to, and their replacements.

Allowed are plain containers, numbers, strings, numpy arrays, two classes as inert records, `argparse.Namespace` and
any class named `Vocabulary`, and `munch.Munch` as the dictionary that it is. Names are looked up in
`ALLOWED`, never imported.
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
    """The attributes of an object without its class: plain data without methods.

    Attributes:
        attributes: values by name.
    """

    attributes: dict[str, Any] = field(default_factory=dict)

    def __new__(cls, *ignored: Any) -> Self:
        """Create it without calling `__init__`, as pickles do."""
        record = super().__new__(cls)
        record.attributes = {}
        return record

    def __setstate__(self, state: Any) -> None:
        """Set the attributes from the pickle."""
        if type(state) is not dict or not all(type(name) is str for name in state):
            raise Refusal(f"sets the state of a {type(self).__name__} to something other than named attributes.")
        self.attributes.update(state)


class Namespace(Record):
    """An `argparse.Namespace`: the options of a command."""


class Vocabulary(Record):
    """An object of a class named `Vocabulary`, from any module."""


class Munch:
    """Builds the dictionary that a `munch.Munch` is; its state, the same items once more, is not read."""

    def __new__(cls) -> OrderedDict[Any, Any]:  # type: ignore[misc]  # torch sets items of plain dictionaries alone
        """Return an empty dictionary."""
        return OrderedDict()


class ByteString(bytes):
    """A `str` of Python 2: bytes that may be text."""


def as_text(value: Any) -> Any:
    """Decode a `ByteString` as UTF-8 or else Latin-1; return any other value unchanged."""
    if type(value) is not ByteString:
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


@dataclass(frozen=True)
class Global:
    """A name in a pickle, and the function called in its place."""

    name: str
    build: Callable[..., Any]


def find_global(module: str, name: str, more: dict[str, Callable[..., Any]]) -> Global:
    """Return the replacement of a name: from `ALLOWED`, from `more`, or the record for a class named `Vocabulary`.

    Raises:
        Refusal: for any other name.
    """
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)  # as in Python 2
    full = f"{module}.{name}"
    known = {**ALLOWED, **more}.get(re.sub(r"^numpy\.core\.", "numpy._core.", full))
    if known is None and name == "Vocabulary":
        known = Vocabulary
    if known is None:
        # pickles contain the platform-specific name of the module
        usual = f" (os.{name})" if module in ("posix", "nt") else ""
        raise Refusal(
            f"refers to {show(full + usual)}, which is not plain data. Nothing in the file was executed.",
            "If you trust its origin, load it with the code that wrote it, and save a state_dict or a dictionary "
            "of plain numbers and strings.",
        )
    return Global(full, known)


def require_key(key: Any) -> None:
    """Refuse keys that could make a dictionary or set slow, or crash it."""
    for part in key if type(key) is tuple else (key,):
        if type(part) not in KEY_TYPES or (type(part) is int and abs(part) >= 2**60):
            raise Refusal("has a dictionary key or set member that is not a plain string or number.")


KEY_TYPES = (str, bytes, int, float, bool, type(None))


def make_dtype(code: Any, align: Any = False, copy: Any = True) -> np.dtype[Any]:
    """Return a new numpy dtype, which `set_dtype` may change."""
    code = as_text(code)
    if type(code) is not str or not re.fullmatch(r"[<>=|]?(b1|[iu][1248]|f[248]|[SU]\d{1,6})", code):
        raise Refusal(f"has an array of type {show(code)}; only numbers and strings are read.")
    return np.dtype(code, copy=True)  # type: ignore[no-any-return, call-overload, unused-ignore]


def set_dtype(dtype: np.dtype[Any], state: Any) -> None:
    """Set the byte order from a pickle."""
    sound = type(state) is tuple and len(state) >= 8 and state[0] in (3, 4) and state[2:5] == (None, None, None)
    if not sound or state[1] not in ("<", ">", "=", "|") or state[5] not in (-1, dtype.itemsize):
        raise Refusal("describes the dtype of an array in a way that numpy does not write.")
    sizes = (-1, -1) if state[5] == -1 else (dtype.itemsize, dtype.alignment)
    dtype.__setstate__((3, state[1], None, None, None, *sizes, 0))  # type: ignore[attr-defined, unused-ignore]


def make_array(*ignored: Any) -> np.ndarray[Any, Any]:
    """Return an empty array for `set_array`."""
    return np.empty(0, np.float32)


def set_array(array: np.ndarray[Any, Any], state: Any) -> None:
    """Fill an array from the pickled state: version, shape, dtype, order, bytes."""
    if type(state) is not tuple or len(state) != 5:
        raise Refusal("has an array without shape, dtype and numbers.")
    _, shape, dtype, fortran, raw = state
    value = np.ascontiguousarray(make_filled_array(raw, dtype, shape, "F" if fortran else "C"))
    fill: Any = array.__setstate__
    fill((1, value.shape, value.dtype, False, value.tobytes()))


def make_filled_array(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray[Any, Any]:
    """Return the array of bytes, dtype and shape, converted by `settle`."""
    return settle(read_buffer(raw, dtype, shape, order))


def read_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    """Return the array of bytes, dtype and shape after checking that they agree."""
    raw = raw.encode("latin-1") if type(raw) is str else raw
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, np.dtype) or order not in ("C", "F"):
        raise Refusal("has an array that does not consist of numbers or strings.")
    size = require_dtype(dtype, shape)
    if size != len(raw):
        raise Refusal(f"has an array of shape {show(shape)} that needs {size:,} bytes but has {len(raw):,}.")
    array: np.ndarray[Any, Any] = np.frombuffer(raw, dtype).reshape(shape, order=order)
    return array


def make_number(dtype: Any, raw: Any = b"") -> Any:
    """Return a numpy scalar as a Python number or string."""
    return read_buffer(raw, dtype, (1,), "C").tolist()[0]


def make_bytes(text: Any, encoding: Any) -> bytes:
    """Return bytes that protocols before 3 write as Latin-1 text."""
    if type(text) is not str or as_text(encoding) not in ("latin1", "latin-1"):
        raise Refusal("has bytes in an encoding that pickles do not use.")
    return text.encode("latin-1")


def make_bytearray(*content: Any) -> bytearray:
    """Return a bytearray: empty, or from bytes or Latin-1 text."""
    if len(content) == 2:
        return bytearray(make_bytes(*content))
    if content and type(content[0]) not in (bytes, ByteString):
        raise Refusal("has a bytearray that does not consist of bytes.")
    return bytearray(*content)


def make_set(items: Any = ()) -> set[Any]:
    """Return a set with plain members."""
    if type(items) not in (list, tuple):
        raise Refusal("has a set that is not built from a list.")
    for item in items:
        require_key(item)
    return set(items)


def make_dictionary(pairs: Any = ()) -> OrderedDict[Any, Any]:
    """Return the ordered dictionary for a list of pairs."""
    if type(pairs) not in (list, tuple) or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise Refusal("has a dictionary that is not built from pairs.")
    made: OrderedDict[Any, Any] = OrderedDict()
    for key, value in pairs:
        set_item(made, key, value)
    return made


def set_item(target: dict[Any, Any], key: Any, value: Any) -> None:
    """Add a pair to a dictionary; refuse a repeated key."""
    require_key(key)
    if key in target:
        raise Refusal(f"has the key {show(repr(key))} twice in one dictionary.")
    target[key] = value


def make_complex(real: Any, imag: Any) -> complex:
    """Return a complex number."""
    if type(real) is not float or type(imag) is not float:
        raise Refusal("has a complex number that is not built from two numbers.")
    return complex(real, imag)


def restore(cls: Any, base: Any, state: Any) -> Record:
    """Return the record that Python 2 builds with `copy_reg._reconstructor`."""
    if not isinstance(cls, Global) or cls.build not in (Namespace, Vocabulary) or state is not None:
        raise Refusal("builds an object that is neither a Namespace nor a Vocabulary.")
    record: Record = cls.build()
    return record


def refuse_call(*ignored: Any) -> None:
    """Refuse to call a name that may only be referred to."""
    raise Refusal("calls a class that it may only refer to.")


ALLOWED: dict[str, Callable[..., Any]] = {
    "argparse.Namespace": Namespace,
    "munch.Munch": Munch,
    "_codecs.encode": make_bytes,
    "builtins.bytes": lambda: b"",  # protocol 2 writes empty bytes in this way
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
"""The names that a pickle may refer to, as in Python 3 and NumPy 2, and the functions called instead."""
