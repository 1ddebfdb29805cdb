"""The forms that are written, in units that are finished one by one: files of a folder, shards, Parquet files."""

from __future__ import annotations

import io
import json
import re
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from vsezoo.data.caption_file import CAPTIONS_PER_IMAGE
from vsezoo.data.pictures.layouts.shards import ID_FIELD
from vsezoo.data.pictures.listing import SPLITS
from vsezoo.data.pictures.writing.samples import Sample, choose_paths, find_suffix
from vsezoo.errors import require_package

GROUP = 100
"""Rows of a row group in Parquet, which is read as a whole; as `datasets` writes pictures."""

Unit = tuple[str, Sequence[Sample]]
"""The path of a file to write, and what is in it."""


class Form(ABC):
    """A form to write.

    Args:
        samples: all pictures, ordered by split.
        size: pictures in a shard or a Parquet file.
        name: name of the data set.
    """

    def __init__(self, samples: Sequence[Sample], size: int, name: str) -> None:
        self.samples, self.size, self.name = samples, size, name

    @abstractmethod
    def list_units(self) -> Iterator[Unit]:
        """Yield the files to write, in order."""

    @abstractmethod
    def write(self, unit: Unit, file: Path) -> None:
        """Write one of them."""

    def finish(self) -> dict[str, bytes]:
        """Return the content of the files that are written last, by their names."""
        return {}

    def list_changes(self) -> list[str]:
        """Return what will be read back differently, one sentence each."""
        return []


class FolderForm(Form):
    """Pictures in a folder, and `captions.jsonl`."""

    def __init__(self, samples: Sequence[Sample], size: int, name: str) -> None:
        super().__init__(samples, size, name)
        self.paths = choose_paths(samples)

    def list_units(self) -> Iterator[Unit]:
        """Yield the pictures."""
        yield from ((path, [sample]) for path, sample in zip(self.paths, self.samples, strict=True))

    def write(self, unit: Unit, file: Path) -> None:
        """Copy a picture."""
        _, (sample,) = unit
        file.write_bytes(sample.read())

    def finish(self) -> dict[str, bytes]:
        """Return the table."""
        rows = [
            {"image": path, "split": sample.split, "captions": list(sample.captions), **_name_languages(sample)}
            for path, sample in zip(self.paths, self.samples, strict=True)
        ]
        return {"captions.jsonl": "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()}

    def list_changes(self) -> list[str]:
        """Return how many pictures get another id."""
        pairs = zip(self.paths, self.samples, strict=True)
        renamed = [(sample.name, path) for path, sample in pairs if path != sample.name]
        if not renamed:
            return []
        old, new = renamed[0]
        return [f"{len(renamed):,} ids cannot be paths of files, and are replaced, such as {old!r} by {new!r}."]


class KarpathyForm(FolderForm):
    """Pictures in a folder, and `dataset_NAME.json`."""

    def finish(self) -> dict[str, bytes]:
        """Return the JSON."""
        images, sentences = [], 0
        for number, (path, sample) in enumerate(zip(self.paths, self.samples, strict=True)):
            ids = list(range(sentences, sentences + len(sample.captions)))
            sentences += len(ids)
            where = PurePosixPath(path)
            images.append(
                {
                    "imgid": number,
                    "filename": where.name,
                    **({"filepath": str(where.parent)} if where.parent.name else {}),
                    "split": "val" if sample.split == "dev" else sample.split,
                    "sentids": ids,
                    "sentences": [
                        {
                            "raw": text,
                            "tokens": re.findall(r"\w+", text.lower()),
                            "imgid": number,
                            "sentid": sentence,
                            **({"language": language} if language else {}),
                        }
                        for text, sentence, language in zip_longest(sample.captions, ids, sample.languages)
                    ],
                }
            )
        content = {"dataset": self.name, "images": images}
        return {f"dataset_{self.name}.json": json.dumps(content, ensure_ascii=False).encode()}

    def list_changes(self) -> list[str]:
        """Return also how many pictures have more captions than are read back."""
        more = sum(len(sample.captions) > CAPTIONS_PER_IMAGE for sample in self.samples)
        five = f"{more:,} pictures have more than five captions, of which this form is read with the first five."
        return [*super().list_changes(), *([five] if more else [])]


class SplitForm(Form):
    """A form whose files are named after splits, some for each."""

    def list_changes(self) -> list[str]:
        """Return a sentence about splits whose names would not be known as splits where files are named after them."""
        others = [split for split in dict.fromkeys(one.split for one in self.samples) if split not in SPLITS]
        if not others:
            return []
        return [
            f"The splits {', '.join(others)} name files, and are not known as splits when these are read: give them "
            "known names first, with `vsezoo data split SOURCE --rename OLD=train`."
        ]

    def _cut(self) -> Iterator[tuple[str, int, int, Sequence[Sample]]]:
        """Yield for each shard its split, its number, the number of shards of the split, and its pictures."""
        for split, group in groupby(self.samples, key=lambda sample: sample.split):
            samples = list(group)
            count = -(-len(samples) // self.size)
            for number in range(count):
                yield split, number, count, samples[number * self.size : (number + 1) * self.size]


class ShardForm(SplitForm):
    """WebDataset's shards: `SPLIT/00000.tar`, with `000000.jpg`, `000000.txt` and `000000.json` for each picture."""

    def list_units(self) -> Iterator[Unit]:
        """Yield the shards."""
        yield from ((f"{split}/{number:05}.tar", samples) for split, number, _, samples in self._cut())

    def write(self, unit: Unit, file: Path) -> None:
        """Write a shard."""
        with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as archive:
            for number, sample in enumerate(unit[1]):
                key = f"{int(PurePosixPath(unit[0]).stem) * self.size + number:09}"
                fields = {ID_FIELD: sample.name, "captions": list(sample.captions), **_name_languages(sample)}
                about = json.dumps(fields, ensure_ascii=False)
                for suffix, content in (
                    (find_suffix(sample), sample.read()),
                    (".txt", "\n".join(sample.captions).encode()),
                    (".json", about.encode()),
                ):
                    header = tarfile.TarInfo(f"{key}{suffix}")
                    header.size = len(content)
                    archive.addfile(header, io.BytesIO(content))


class ParquetForm(SplitForm):
    """Parquet as the Hub has it: `data/SPLIT-00000-of-00001.parquet`, with bytes and id in `image`, and `caption`."""

    def list_units(self) -> Iterator[Unit]:
        """Yield the files."""
        for split, number, count, samples in self._cut():
            word = "validation" if split == "dev" else split
            yield f"data/{word}-{number:05}-of-{count:05}.parquet", samples

    def write(self, unit: Unit, file: Path) -> None:
        """Write a file, a row group at a time."""
        arrow = require_package("pyarrow", "Writing Parquet files", file)
        parquet = require_package("pyarrow.parquet", "Writing Parquet files", file)
        schema = self._make_schema(arrow)
        with parquet.ParquetWriter(file, schema) as writer:
            for start in range(0, len(unit[1]), GROUP):
                group = unit[1][start : start + GROUP]
                columns: dict[str, list[Any]] = {
                    "image": [{"bytes": sample.read(), "path": sample.name} for sample in group],
                    "caption": [list(sample.captions) for sample in group],
                }
                if "language" in schema.names:
                    columns["language"] = [list(sample.languages) for sample in group]
                writer.write_table(arrow.table(columns, schema=schema), row_group_size=GROUP)

    def _make_schema(self, arrow: Any) -> Any:
        lists = ["caption", *(["language"] if any(sample.languages for sample in self.samples) else [])]
        image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
        texts = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}
        features = {"image": {"_type": "Image"}, **dict.fromkeys(lists, texts)}
        about = {"huggingface": json.dumps({"info": {"features": features}})}  # so `datasets` decodes the pictures
        return arrow.schema([("image", image), *((name, arrow.list_(arrow.string())) for name in lists)], about)


def _name_languages(sample: Sample) -> dict[str, list[str]]:
    """Return the field of the languages of captions; none if they are not known."""
    return {"language": list(sample.languages)} if sample.languages else {}


FORMS: dict[str, type[Form]] = {
    "folder": FolderForm,
    "webdataset": ShardForm,
    "parquet": ParquetForm,
    "karpathy": KarpathyForm,
}
