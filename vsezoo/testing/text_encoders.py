"""Checks of text encoders and their tokenizers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import torch
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.interfaces import Tokenizer, Tokens
from vsezoo.storage.checkpoint_layout import CARD, CONFIG, LOSS, METRICS, MODEL
from vsezoo.testing.built import Built
from vsezoo.testing.encoders import SIZES, EncoderKit, require_same
from vsezoo.testing.kit import promise, require
from vsezoo.testing.samples import CAPTIONS

ODD_CAPTIONS = ("", " ", ".", "Zwölf Boxkämpfer", "犬が走る", "🐕 runs", "a" * 300)
"""Unusual captions that a file may hold."""


@dataclass
class TextEncoderKit(EncoderKit):
    """The checks of text encoders."""

    part = "text_encoder"

    def _encode_first(self, built: Built, size: int) -> Tensor | Embeddings:
        return self._encode(built, [*CAPTIONS, *ODD_CAPTIONS][:size])

    def _encode(self, built: Built, captions: Sequence[str]) -> Tensor | Embeddings:
        require(hasattr(built.model.text_encoder, "tokenizer"), "the encoder has no attribute tokenizer")
        output: Tensor | Embeddings = built.model.text_encoder(Tokens.pad(built.model.tokenizer.encode(captions)))
        return output

    @promise(
        "tokenizer",
        "Give an empty caption a special token or the id of unknown words; do not use vsezoo's file names.",
    )
    def check_tokenizer(self) -> None:
        """Its tokenizer encodes any string as one or more int32 ids, and is the same after reading its files."""
        built = self.build()
        tokenizer = built.model.train().tokenizer
        captions = [*CAPTIONS, *ODD_CAPTIONS]
        encoded = tokenizer.encode(captions)
        require(len(encoded) == len(captions), f"{len(encoded)} arrays of ids for {len(captions)} captions")
        for caption, ids in zip(captions, encoded, strict=True):
            shown = f"the ids of {caption[:40]!r}"
            require(isinstance(ids, np.ndarray), f"{shown}: {type(ids).__name__}, not an array")
            require(ids.dtype == np.int32 and ids.ndim == 1, f"{shown}: {ids.dtype} of shape {ids.shape}")
            require(len(ids) >= 1, f"{shown}: none at all")
            require(bool((ids >= 0).all() and (ids < len(tokenizer)).all()), f"{shown}: not below {len(tokenizer)}")
        split = tokenizer.split(captions)
        require(len(split) == len(captions), f"split returns {len(split)} items for {len(captions)} captions")
        self._require_same(tokenizer.encode_split(split), encoded, "encode_split of what split gave")
        self._require_same(built.model.eval().tokenizer.encode(captions), encoded, "the tokenizer in eval mode")
        files = tokenizer.to_files()
        for name, content in files.items():
            require(isinstance(content, bytes), f"to_files holds {type(content).__name__} for {name!r}, not bytes")
            require(
                name not in (CARD, CONFIG, LOSS, METRICS, MODEL),
                f"to_files has the name {name!r}, which is one of vsezoo's own",
            )
            require(name == PurePath(name).name, f"to_files has the name {name!r}, which is not a plain file name")
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            again: Tokenizer = self.subject.thing.read_tokenizer(Path(folder))
        require(len(again) == len(tokenizer), f"{len(again)} ids after reading the files of {len(tokenizer)}")
        self._require_same(again.encode(captions), encoded, "the tokenizer after reading its files")

    def _require_same(self, found: Sequence[np.ndarray], expected: Sequence[np.ndarray], what: str) -> None:
        same = len(found) == len(expected) and all(map(np.array_equal, found, expected))
        require(same, f"{what} gives other ids")

    @promise(
        "odd-captions",
        "Divide by a length only where it is not zero, and truncate what is longer than the encoder reads.",
    )
    def check_odd_captions(self) -> None:
        """Empty, unknown and very long captions have finite embeddings."""
        built = self.build()
        built.model.text_encoder.eval()
        self._require_form(self._encode(built, ODD_CAPTIONS), len(ODD_CAPTIONS))

    @promise(
        "padding",
        "Pack the sequences or mask the padding by tokens.lengths; the id 0 may belong to a word.",
    )
    def check_padding(self) -> None:
        """A caption has the same embedding alone and among longer ones: padding has no effect."""
        built = self.build_trained()
        together = Embeddings.of(self._encode(built, CAPTIONS))
        for index, caption in enumerate(CAPTIONS):
            alone = self._encode(built, [caption])
            require_same(alone, together[index : index + 1], f"{caption!r} alone and among longer captions")

    @promise(
        "batch",
        "Compute means and norms within one caption only; restore the order of sorted sequences.",
    )
    def check_batch(self) -> None:
        """In eval mode the embedding of a caption depends neither on the rest of the batch nor on its order."""
        built = self.build_trained()
        # All of one length, so that padding plays no role: pieces of the concatenated captions.
        encoded = built.model.tokenizer.encode(CAPTIONS)
        ids, length = np.concatenate(encoded), max(map(len, encoded))
        starts = np.linspace(0, max(0, len(ids) - length), max(SIZES)).astype(int)
        captions = [ids[start : start + length] for start in starts]
        encoder = built.model.text_encoder
        together = Embeddings.of(encoder(Tokens.pad(captions)))
        order = torch.tensor([3, 0, 4, 1, 2])
        permuted = encoder(Tokens.pad([captions[index] for index in order]))
        require_same(permuted, together[order], "a batch in another order")
        for index, caption in enumerate(captions):
            alone = encoder(Tokens.pad([caption]))
            require_same(alone, together[index : index + 1], "a caption alone and in a batch")

    @promise(
        "order",
        "Undo the sorting: pack_padded_sequence(..., enforce_sorted=False) does.",
    )
    def check_order(self) -> None:
        """Captions of different lengths come out in the order in which they went in."""
        built = self.build_trained()
        forwards, backwards = (Embeddings.of(self._encode(built, given)) for given in (CAPTIONS, CAPTIONS[::-1]))
        reverse = torch.arange(len(CAPTIONS)).flip(0)
        require_same(backwards[reverse], forwards, "captions in reverse order")
