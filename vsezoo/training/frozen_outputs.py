"""What the frozen parts of the encoders give for the pairs of a run, computed once: `training.cache_frozen`.

The run trains on rows of these tables instead of pictures and ids. The tables are kept in the cache folder, for other
runs with the same encoders and data, if it can be written and the images are files that tell when they change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.checkpoints.provenance import list_versions, record_parts
from vsezoo.data.view import PairView
from vsezoo.encoders.precomputed import to_tensor
from vsezoo.errors import RecipeError, StorageError
from vsezoo.evaluation.scratch import ScratchArray
from vsezoo.interfaces import Encoder, ImageEncoder, PairDataset, TextEncoder, Tokens
from vsezoo.model import JointEmbedding
from vsezoo.pretrained.frozen import FrozenPart, digest_frozen
from vsezoo.storage.atomic_file import replace_file
from vsezoo.storage.cache import find_cache, identify
from vsezoo.storage.plain_file import require_plain
from vsezoo.storage.read_ahead import read_ahead
from vsezoo.storage.waiting import AdvanceNamed
from vsezoo.training.batches import TokenTable
from vsezoo.training.splits import Split

AT_ONCE = {"image_encoder": 32, "text_encoder": 256}
"""Images or captions that are encoded at a time."""

Rows = np.ndarray[Any, np.dtype[np.float32]]
NO_ROWS = np.empty((0, 0), np.float32)


class FrozenOutputs:
    """A model and the splits of a run in which frozen parts are replaced by their outputs, once `compute` is called.

    Args:
        model: the model.
        train: the training split.
        dev: the split for choosing the best checkpoint.

    Attributes:
        model: shares all modules with the given model, but its encoders take rows of the tables.
        train, dev: the splits whose images and ids are such rows.

    Raises:
        RecipeError: for encoders without a frozen part.
    """

    def __init__(self, model: JointEmbedding, train: Split, dev: Split) -> None:
        self._model, self._splits = model, (train, dev)
        self._tables = {name: Table() for name, encoder in model.encoders.items() if _is_fixed(encoder)}
        if not self._tables:
            raise RecipeError(
                "training.cache_frozen is set, but no encoder has a part that training does not change.",
                remedy="Leave it out, or freeze the pretrained part: --set image_encoder.finetune=false.",
            )
        images, texts = (self._tables.get(name) for name in model.encoders)
        image_encoder, text_encoder = model.image_encoder, model.text_encoder
        self.model = JointEmbedding(
            model.recipe,
            image_encoder if images is None else RowImageEncoder(image_encoder),
            text_encoder if texts is None else RowTextEncoder(text_encoder, texts),
            model.similarity,
        )
        self.train, self.dev = _show(train, images, texts), _show(dev, images, texts, train)

    @torch.inference_mode()
    def compute(self, advance: AdvanceNamed = lambda what, done, total: None) -> None:
        """Compute the tables, or read them from the cache folder.

        Args:
            advance: progress callback: what is encoded, how many are done, and of how many.

        Raises:
            DataError: for an image that cannot be read.
            StorageError: if there is no space for a table.
        """
        training = self._model.training
        self._model.eval()
        for name, table in self._tables.items():
            if not len(table.rows):
                table.rows = _recall(self._describe(name), lambda name=name: self._extract(name, advance))  # type: ignore[misc]
        self._model.train(training)

    def _extract(self, name: str, advance: AdvanceNamed) -> Rows:
        encoder, size = self._model.encoders[name], AT_ONCE[name]
        if name == "image_encoder":
            return _extract_images(encoder, [split.data for split in self._splits], size, advance)
        return _extract_texts(encoder, [text for split in self._splits for text in split.captions], size, advance)

    def _describe(self, name: str) -> Any:
        """Return all that the rows depend on, as JSON values; None: it is not known."""
        encoder, items = self._model.encoders[name], hashlib.sha256()
        for split in self._splits:
            if name == "text_encoder":
                items.update(split.tokens.ids.tobytes() + split.tokens.ends.tobytes())
            elif len(split.data.places) == len(split.data.image_ids):
                files = {place.file: identify(place.file) for place in split.data.places}
                items.update(json.dumps([[*place, files[place.file]] for place in split.data.places]).encode())
            else:
                return None
        finishing = encoder.finishing if isinstance(encoder, FrozenPart) else ()
        options = getattr(self._model.recipe, name).options
        used = {option: value for option, value in options.items() if option not in finishing}
        recipe, kind = self._model.recipe, "text" if name == "text_encoder" else self._splits[0].data.kind
        versions = list_versions(recipe, record_parts(recipe), kind)
        return [type(encoder).__qualname__, used, digest_frozen(encoder), items.hexdigest(), versions]


class Table:
    """The outputs `(N, ...)` of a frozen part, of the training split and then of dev; empty before they are known."""

    rows: Rows = NO_ROWS


class RowPairs(PairView):
    """A split whose images are rows of a table.

    Args:
        data: the split.
        table: the table.
        start: its row of the first image.
    """

    def __init__(self, data: PairDataset, table: Table, start: int) -> None:
        super().__init__(data)
        self.kind, self._table, self._start = "vector", table, start

    def images(self, indices: Sequence[int] | np.ndarray) -> Rows:
        """Return the rows of these images."""
        rows: Rows = self._table.rows[self._start + np.asarray(indices)]
        return rows


class RowImageEncoder(ImageEncoder):
    """The trained rest of an image encoder.

    Args:
        encoder: the image encoder, a `FrozenPart`.
    """

    kinds = ("vector",)

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__()
        self.encoder, self.gives, self.uncertain = encoder, encoder.gives, encoder.uncertain

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        """Return a function that converts rows to a tensor."""
        return to_tensor

    def forward(self, images: Tensor) -> Tensor | Embeddings:
        """Return the joint embeddings of rows `(B, ...)`."""
        return _finish(self.encoder, images, self.keep_items)


class RowTextEncoder(TextEncoder):
    """The trained rest of a text encoder. The only id of a caption is its row in the table.

    Args:
        encoder: the text encoder, a `FrozenPart`.
        table: the table.
    """

    def __init__(self, encoder: TextEncoder, table: Table) -> None:
        super().__init__()
        self.encoder, self.gives, self.uncertain = encoder, encoder.gives, encoder.uncertain
        self.tokenizer, self._table = encoder.tokenizer, table

    @classmethod
    def make_tokenizer(cls, options: Any) -> Any:
        """Always raises."""
        raise NotImplementedError("the encoder has its tokenizer")

    @classmethod
    def read_tokenizer(cls, folder: Path) -> Any:
        """Always raises."""
        raise NotImplementedError("the encoder has its tokenizer")

    def forward(self, tokens: Tokens) -> Tensor | Embeddings:
        """Return the joint embeddings of captions."""
        rows = to_tensor(self._table.rows[tokens.ids[:, 0].cpu().numpy()])
        return _finish(self.encoder, rows.to(tokens.ids.device), self.keep_items)


def _is_fixed(encoder: Encoder) -> bool:
    return isinstance(encoder, FrozenPart) and encoder.is_fixed()


def _finish(encoder: Encoder, rows: Tensor, keep_items: bool) -> Tensor | Embeddings:
    assert isinstance(encoder, FrozenPart)
    encoder.keep_items |= keep_items
    return encoder.finish(rows)


def _show(split: Split, images: Table | None, texts: Table | None, before: Split | None = None) -> Split:
    """Return a split as rows of tables, in which another stands before it."""
    start_image, start_text = (0, 0) if before is None else (len(before.data.image_ids), len(before.tokens))
    data = split.data if images is None else RowPairs(split.data, images, start_image)
    if texts is None:
        return Split(data, split.tokens)
    return Split(data, TokenTable(list(np.arange(start_text, start_text + len(split.tokens))[:, None])))


def _extract_images(encoder: Any, splits: Sequence[PairDataset], size: int, advance: AdvanceNamed) -> Rows:
    transform, device = encoder.transform(training=False), next(encoder.parameters()).device
    done, total = 0, sum(len(data.image_ids) for data in splits)

    def blocks() -> Iterator[Tensor]:
        nonlocal done
        for data in splits:
            starts = range(0, len(data.image_ids), size)
            parts = [np.arange(start, min(start + size, len(data.image_ids))) for start in starts]
            for part, pictures in read_ahead(lambda part: transform(data.images(part)), parts):  # noqa: B023 (used at once)
                yield encoder.extract(pictures.to(device))
                done += len(part)
                advance("frozen parts: images", done, total)

    return _collect(blocks())


def _extract_texts(encoder: Any, captions: Sequence[np.ndarray], size: int, advance: AdvanceNamed) -> Rows:
    device = next(encoder.parameters()).device
    order = np.argsort([len(caption) for caption in captions], kind="stable")  # hardly any padding

    def blocks() -> Iterator[Tensor]:
        for start in range(0, len(order), size):
            tokens = Tokens.pad([captions[index] for index in order[start : start + size]]).to(device)
            yield encoder.extract(tokens)
            advance("frozen parts: captions", min(start + size, len(order)), len(order))

    return _collect(blocks())[np.argsort(order)]


def _collect(blocks: Iterator[Tensor]) -> Rows:
    shape: tuple[int, ...] = ()
    with closing(ScratchArray()) as scratch:
        for block in blocks:
            shape = tuple(block.shape[1:])
            scratch.append(block.float().cpu().reshape(len(block), -1).numpy())
        return scratch.finish().reshape(-1, *shape)


def _recall(key: Any, compute: Callable[[], Rows]) -> Rows:
    """Return rows from the cache folder, or compute them and write them there."""
    if key is None:
        return compute()
    file = find_cache() / "frozen" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.npy"
    with suppress(OSError, ValueError):
        require_plain(file.stat(), file)
        found: Rows = np.load(file, mmap_mode="r")
        return found
    rows = compute()
    with suppress(OSError, StorageError), replace_file(file) as stream:
        np.save(stream, rows)
    return rows
