"""`vsezoo convert --to`: a checkpoint in the format of another codebase."""

from __future__ import annotations

import json
from pathlib import Path

import processes
import pytest
from lists_importer import (
    convert,
    use_greedy,
    use_small_disk,
)

from vsezoo.storage.digests import digest_file

# The other way


def test_the_way_back_is_the_same_to_the_byte(made: Path, source: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, made, "--to", "lists", "--output", "back/again.json")
    assert done.stdout.splitlines() == ["back/again.json", "back/vocab.json"]
    assert (tmp_path / "back" / "again.json").read_bytes() == source.read_bytes()
    assert (tmp_path / "back" / "vocab.json").read_bytes() == source.with_name("vocab.json").read_bytes()
    assert len(list((tmp_path / "back").iterdir())) == 2
    value = json.loads(convert(tmp_path, made, "--to", "lists", "--json").stdout)
    files = {name: digest_file(tmp_path / name) for name in ("lists.json", "vocab.json")}
    assert value == {"checkpoint": str(made), "format": "lists", "files": files}


def test_what_is_there_is_not_written_over(made: Path, source: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("mine", encoding="utf-8")
    done = convert(tmp_path, made, "--to", "lists", code=2)
    processes.assert_one_message(done, 2, r"^vocab\.json: already exists\.\nChoose another --output, or .*--overwrite")
    assert (tmp_path / "vocab.json").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "lists.json").exists()
    convert(tmp_path, made, "--to", "lists", "--overwrite")
    assert (tmp_path / "vocab.json").read_bytes() == source.with_name("vocab.json").read_bytes()


def test_a_full_disk_on_the_way_back(made: Path, tmp_path: Path) -> None:
    done = convert(tmp_path, made, "--to", "lists", before=use_small_disk, code=1)
    processes.assert_one_message(done, 1, r"^lists\.json: cannot be written: File too large")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("MADE", "--to", "list"),
            2,
            r"^There is no importer 'list'\.\nDid you mean 'lists'\? `vsezoo convert --help`",
        ),
        (("MADE", "--to", "greedy"), 2, r"^'greedy' can be read but not written\.\nChoose a format that can"),
        (("MADE", "--to", "lists", "--from", "lists"), 2, r"^--from cannot be combined with --to\."),
        (("MADE", "--to", "lists", "--option", "a=1"), 2, r"^--option cannot be combined with --to\."),
        (("MADE", "--to", "lists", "--output", "."), 2, r"^\.: is a folder, not a file\."),
        (("SOURCE", "--to", "lists"), 2, r"lists\.v2\.json: is a file, but .*\nConvert it first: vsezoo convert /"),
        (("nowhere", "--to", "lists"), 2, r"^nowhere: does not exist\."),
    ],
)
def test_mistakes_on_the_way_back(
    arguments: tuple[str, ...], code: int, message: str, made: Path, source: Path, tmp_path: Path
) -> None:
    places = {"MADE": made, "SOURCE": source}
    done = convert(tmp_path, *(places.get(word, word) for word in arguments), before=use_greedy, code=code)
    processes.assert_one_message(done, code, message)
    assert not list(tmp_path.iterdir())
