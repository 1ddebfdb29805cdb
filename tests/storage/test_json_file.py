"""Our own JSON files: what is refused, and what the digest covers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from vsezoo.errors import CheckpointError, DataError
from vsezoo.storage.forms import Fields, Flag, Form, FormError, Integer, ListOf, Mapped, Maybe, Number, Text
from vsezoo.storage.json_file import DEEPEST, parse_strictly, read_object, seal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 1}', "the key 'a' occurs twice"),
        ('{"b": [{"a": 1, "c": 2, "a": 3}]}', "the key 'a' occurs twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        ("[" * DEEPEST + "]" * DEEPEST, ""),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "more than 64 levels"),
        ("[" * 100_000 + "]" * 100_000, "more than 64 levels"),
        ('{"a":' * 100_000, "more than 64 levels"),
    ],
)
def test_what_is_not_json(text: str, message: str) -> None:
    if not message:
        parse_strictly(text.encode())
        return
    with pytest.raises(ValueError, match=message):
        parse_strictly(text.encode())


def test_a_sealed_object_comes_back_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    value = {"name": "ä\udc80", "numbers": [1, 2.5, -0.0, None, True], "inner": {"b": 1, "a": 2}}
    file.write_text(json.dumps(seal(value)))
    assert read_object(file) == value
    file.write_text(json.dumps(dict(reversed(seal(value).items())), indent=5))
    assert read_object(file) == value  # in any order and with any spaces
    file.write_text(json.dumps({**seal(value), "numbers": [1, 2.5, -0.0, None, False]}))
    with pytest.raises(DataError, match=r"a\.json: was altered: its entries differ from .*\.\nMake it again"):
        read_object(file, error=DataError, remedy="Make it again.")
    file.write_text(json.dumps(value))
    assert read_object(file) == value  # of an earlier version


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, message in (
        ("pipe", "it is not a plain file"),
        ("zero", "it is not a plain file"),
        ("absent", "missing"),
    ):
        with pytest.raises(CheckpointError, match=message):
            read_object(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"cannot be read: Is a directory\.\nUse a file, not a folder"):
        read_object(tmp_path)


FORM = Fields({"a": Integer(0, 9)}, {"b": Maybe(Number()), "c": ListOf(Integer(), 2), "d": Mapped(Flag())})


@pytest.mark.parametrize(
    ("form", "value", "message"),
    [
        (FORM, {"a": 3, "b": None, "c": [1, 2], "d": {"x": True}}, ""),
        (FORM, {"a": 3, "b": 2**62}, ""),
        (FORM, [], "is not an object"),
        (FORM, {}, "^a is missing"),
        (FORM, {"a": 10}, "^a is not an integer from 0 to 9"),
        (FORM, {"a": True}, "^a is not an integer"),
        (FORM, {"a": 1.0}, "^a is not an integer"),
        (FORM, {"a": 1, "e": 1}, "^e is not a known field"),
        (FORM, {"a": 1, "b": float("nan")}, "^b is not a finite number"),
        (FORM, {"a": 1, "b": 10**400}, "^b is not a finite number"),
        (FORM, {"a": 1, "c": [1]}, "^c is not a list of 2 items"),
        (FORM, {"a": 1, "c": [1, "2"]}, r"^c\[1\] is not an integer"),
        (FORM, {"a": 1, "d": {"x": 1}}, r"^d\['x'\] is not true or false"),
        (ListOf(ListOf(Integer())), [[1], ["x"]], r"\[1\]\[0\] is not an integer"),
        (Fields({}, others=True), {"z": 1}, ""),
        (Text("[a-c]+", "letters"), "abc", ""),
        (Text("[a-c]+", "letters"), "abcd", "is not letters"),
        (Text(longest=3), "abcd", "is not a text"),
    ],
)
def test_forms(form: Form, value: Any, message: str) -> None:
    if not message:
        form.check(value, "")
        return
    with pytest.raises(FormError, match=message):
        form.check(value, "")
