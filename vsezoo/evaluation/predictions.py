"""Per-query results of an evaluation, in a file that other programs can read. Imports neither torch nor numpy.

A `.jsonl` file has one JSON object in each line. The first says what was evaluated; each of the others is a query. A
`.parquet` file has the same as a table. docs/evaluation.md has the keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsezoo.errors import DataError, UsageError, require_package
from vsezoo.storage.atomic_file import explain_unwritten, prepare_file
from vsezoo.storage.garbage import pause_collection
from vsezoo.storage.json_file import LARGEST, SEAL, parse_object, seal
from vsezoo.storage.plain_file import explain_unread, open_plain

if TYPE_CHECKING:
    import pandas

FORMAT, FORMAT_VERSION = "vsezoo-predictions", 2
SEALED = 2
"""The first version with digests."""
PARQUET = ".parquet"
SUFFIXES = (".jsonl", PARQUET, ".trec")
"""The forms of a file; the last one is written only."""
DIGEST = "queries_sha256"
"""The key of the first line with the digest of the others."""
ESCAPED = "backslashreplace"
EVALUATE = "Write it again: `vsezoo eval CHECKPOINT --predictions FILE`."


@dataclass(frozen=True, slots=True)
class Query:
    """The result of one query.

    Attributes:
        direction: `i2t` or `t2i`.
        id: of the image, or of the caption: that of its image, `#`, and its number among the captions of the image.
        ranks: of all matches, counted from 1, ascending; fractional under the tie rule `expected`.
        matches: the ids of the matches, in the order of their ranks.
        tied: whether a candidate that does not match scores exactly as the best match.
        top: the ids of the first candidates.
        scores: their scores.
        text: the caption; empty if the query is an image.
        fold: the fold that it was ranked in, from 1; 0: there are no folds.
    """

    direction: str
    id: str
    ranks: tuple[float, ...]
    matches: tuple[str, ...]
    tied: bool = False
    top: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    text: str = ""
    fold: int = 0

    @property
    def rank(self) -> float:
        """The rank of the best match, from 1."""
        return self.ranks[0]

    def to_json(self) -> dict[str, Any]:
        """Return the line of a `.jsonl` file."""
        return {
            "direction": self.direction,
            "query": self.id,
            **({"text": self.text} if self.text else {}),
            **({"fold": self.fold} if self.fold else {}),
            "rank": self.rank,
            "ranks": self.ranks,
            "matches": self.matches,
            "tied": self.tied,
            "top": list(zip(self.top, self.scores, strict=True)),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Query:
        """Return the query of a line.

        Raises:
            KeyError, TypeError, ValueError: for a line that `to_json` did not give.
        """
        ranks, matches, top = tuple(value["ranks"]), tuple(value["matches"]), value["top"]
        if value["direction"] not in ("i2t", "t2i") or not ranks or len(ranks) != len(matches) or not ranks[0] >= 1:
            raise ValueError("impossible ranks")
        names, scores = zip(*top, strict=True) if top else ((), ())
        text, fold = value.get("text") or "", value.get("fold", 0)
        if type(value["tied"]) is not bool or type(fold) is not int or not 0 <= fold < 2**31:
            raise TypeError("tied or fold of another type")
        if not all(isinstance(one, str) for one in (value["query"], text, *matches, *names)):
            raise TypeError("an id that is not text")
        if not all(type(one) in (int, float) for one in (*ranks, *scores)):
            raise TypeError("a rank or score that is not a number")
        return cls(value["direction"], value["query"], ranks, matches, value["tied"], names, scores, text, fold)


@dataclass(frozen=True, repr=False)
class Predictions:
    """Per-query results, and what they are of.

    Attributes:
        about: `evaluation` (the figures with their labels, as `vsezoo eval --json` prints them), `ground_truth` (the
            digest of ids, captions, and which caption belongs to which image), `images` (their kind and shape, how
            they were extracted, and a digest of a few), `recipes` (one for each checkpoint) and `top`.
        queries: of both directions; those of a direction in the order of the data.
    """

    about: Mapping[str, Any]
    queries: Sequence[Query]

    def __repr__(self) -> str:
        """Return what they are of in one line."""
        labels = self.about.get("evaluation", {})
        where = ", ".join(str(labels.get(name, "?")) for name in ("data", "split", "protocol"))
        return f"<Predictions of {len(self.queries):,} queries on {where}>"

    def to_frame(self) -> pandas.DataFrame:
        """Return a table with a row for each query: the columns are the keys of a `.jsonl` file.

        Raises:
            MissingPackageError: without pandas.
        """
        pd = require_package("pandas", "to_frame")
        frame: pandas.DataFrame = pd.DataFrame([query.to_json() for query in self.queries])
        return frame


def read_predictions(file: str | Path) -> Predictions:
    """Read what `vsezoo eval --predictions` wrote.

    Raises:
        DataError: for a file that cannot be read or has something else.
        MissingPackageError: for a `.parquet` file without pyarrow.
    """
    with pause_collection():
        return _read(Path(file))


def _read(file: Path) -> Predictions:
    try:
        with explain_unread(file), open_plain(file) as stream:
            if file.suffix == PARQUET:
                from vsezoo.evaluation.parquet_predictions import read_table

                header, values = read_table(file, stream)
            else:
                header, rest = stream.readline(LARGEST), stream.read()
                values = json.loads(b"[%s]" % rest.rstrip(b"\n").replace(b"\n", b","))  # far faster than line by line
        about = parse_object(header, file, error=DataError, remedy=EVALUATE)
        if about["format"] != FORMAT:
            raise ValueError("another format")
        if about["format_version"] not in (1, FORMAT_VERSION):
            problem = f"has the format version {about['format_version']}; this vsezoo reads {FORMAT_VERSION}."
            raise DataError(problem, file=file, remedy="Upgrade: pip install --upgrade vsezoo")
        queries = [Query.from_json(value) for value in values]
        if (digest := about.pop(DIGEST, None)) is not None or about["format_version"] >= SEALED:
            content = _encode(_to_lines(queries)) if file.suffix == PARQUET else rest
            if f'"{SEAL}"'.encode() not in header or digest != hashlib.sha256(content).hexdigest():
                raise DataError("was altered: its queries differ from their digest.", file=file, remedy=EVALUATE)
        return Predictions(about, queries)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError("is not a complete file of predictions.", file=file, remedy=EVALUATE) from error


def write_predictions(file: Path, predictions: Predictions) -> None:
    """Write predictions, whole or not at all.

    Args:
        file: the suffix says in which form: `.jsonl`, `.parquet`, or `.trec`, which makes four files; see `write_runs`.
        predictions: what is written.

    Raises:
        StorageError: if the file cannot be written.
        UsageError: for another suffix.
        MissingPackageError: for a `.parquet` file without pyarrow.
    """
    require_suffix(file)
    with explain_unwritten(file):
        if file.suffix == PARQUET:
            from vsezoo.evaluation.parquet_predictions import write_table

            stored = Predictions(predictions.about, list(map(_convert_numbers, predictions.queries)))
            with prepare_file(file) as temporary:
                write_table(temporary, _mark(stored), [query.to_json() for query in stored.queries])
        elif file.suffix == ".jsonl":
            with prepare_file(file) as temporary:
                header = json.dumps(_mark(predictions), ensure_ascii=False)
                _write_lines(temporary, [header, *_to_lines(predictions.queries)])
        else:
            for name, lines in make_runs(predictions).items():
                with prepare_file(file.with_suffix(name)) as temporary:
                    _write_lines(temporary, lines)


def require_suffix(file: Path) -> None:
    """Raise UsageError unless the suffix is one of `SUFFIXES`."""
    if file.suffix not in SUFFIXES:
        remedy = f"Name a file with one of the suffixes {', '.join(SUFFIXES)}."
        raise UsageError("its suffix does not say in which form to write predictions.", file=file, remedy=remedy)


def make_runs(predictions: Predictions) -> dict[str, Iterator[str]]:
    """Return the lines of TREC's files by suffix: for each direction a run (`.i2t.trec`) and its qrels (`.i2t.qrels`).

    Blanks in ids are written as `%20`, and `%` as `%25`. trec_eval ignores the rank column and orders equal scores by
    descending id: its figures differ from ours if there are ties.
    """
    tag = "+".join(item.get("model", "") for item in predictions.about["evaluation"]["checkpoints"]) or "vsezoo"

    def list_runs(direction: str) -> Iterator[str]:
        for query in (query for query in predictions.queries if query.direction == direction):
            for rank, (item, score) in enumerate(zip(query.top, query.scores, strict=True), start=1):
                yield f"{_escape(query.id)} Q0 {_escape(item)} {rank} {score!r} {_escape(tag)}"

    def list_matches(direction: str) -> Iterator[str]:
        for query in (query for query in predictions.queries if query.direction == direction):
            yield from (f"{_escape(query.id)} 0 {_escape(match)} 1" for match in sorted(query.matches))

    runs = {f".{direction}.trec": list_runs(direction) for direction in ("i2t", "t2i")}
    return runs | {f".{direction}.qrels": list_matches(direction) for direction in ("i2t", "t2i")}


def _escape(text: str) -> str:
    return "".join(f"%{ord(letter):02x}" if letter.isspace() or letter == "%" else letter for letter in text)


def _convert_numbers(query: Query) -> Query:
    """Return a query as a table returns it: all of its numbers are floats."""
    return replace(query, ranks=tuple(map(float, query.ranks)), scores=tuple(map(float, query.scores)))


def _mark(predictions: Predictions) -> dict[str, Any]:
    digest = hashlib.sha256(_encode(_to_lines(predictions.queries))).hexdigest()
    return seal({"format": FORMAT, "format_version": FORMAT_VERSION, **predictions.about, DIGEST: digest})


def _to_lines(queries: Iterable[Query]) -> Iterator[str]:
    return (json.dumps(query.to_json(), ensure_ascii=False) for query in queries)


def _encode(lines: Iterable[str]) -> bytes:
    """Return lines as they are written: what UTF-8 cannot encode, as in file names, becomes the escapes of JSON."""
    return "".join(f"{line}\n" for line in lines).encode(errors=ESCAPED)


def _write_lines(file: Path, lines: Iterable[str]) -> None:
    with file.open("w", encoding="utf-8", errors=ESCAPED, newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in lines)
