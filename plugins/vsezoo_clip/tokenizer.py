"""The tokenizer of a dual encoder: cleaning, ids, the longest caption, and how captions are padded."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vsezoo.errors import CheckpointError, RecipeError, VsezooWarning, first_line
from vsezoo.interfaces import Tokenizer, Tokens
from vsezoo.storage.digests import RESTORE
from vsezoo.storage.json_file import read_object
from vsezoo_clip.cleaning import CLEANERS
from vsezoo_clip.families import Family
from vsezoo_clip.pieces import OpenClipPieces, Pieces, load_tokenizer, make_pieces, read_pieces
from vsezoo_clip.text_network import FIRST_EOS, KINDS

# Said outright, so that tokenizers does not warn of every worker process that is forked after it has run.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

UNLIMITED = 10**9
"""Tokenizers without a limit say 10^30."""
OTHERS = "Get the tokenizer that was published with these weights."
OF_OPEN_CLIP = {True: ("lower", "canonicalize"), False: tuple(CLEANERS)}
"""What may be done to captions: with open_clip's own tokenizer, which has lower case only, and with another."""
SAMPLE = "a photo of a dog"
LEAST, SPARE = 10_000, 1024
"""Ids of a tokenizer that is not for tests; word embeddings that a model may have beyond them: they are rounded up."""


@dataclass(frozen=True)
class CaptionForm:
    """How captions become ids, in addition to the tokenizer's own files.

    Attributes:
        limit: ids that a caption may have, marks included.
        pad_id: what fills captions up.
        pad_to: ids that every caption is filled up to; 0: it is not.
        pad_left: whether it is filled up before its first id.
        clean: what is done first, one of `CLEANERS`.
        stripped: an id that becomes 0; None: none does.
    """

    limit: int
    pad_id: int = 0
    pad_to: int = 0
    pad_left: bool = False
    clean: str = "none"
    stripped: int | None = None


class DualTokenizer(Tokenizer):
    """Turns captions into the ids of a pretrained text tower.

    Args:
        pieces: cuts captions into ids.
        form: the rest.
    """

    FORM: ClassVar[str] = "captions.json"

    def __init__(self, pieces: Pieces, form: CaptionForm) -> None:
        self.pieces, self.form = pieces, form

    def pad(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return ids `(B, L)` filled up as the model needs them, and which are of the caption, `(B, L)` bool."""
        ids, lengths = tokens.ids, tokens.lengths.to(tokens.ids.device)
        size = self.form.pad_to or ids.shape[1]
        padded = ids.new_full((len(ids), size), self.form.pad_id)
        padded[:, : ids.shape[1]] = ids[:, :size]
        held = torch.arange(size, device=ids.device) < lengths[:, None]
        return padded.where(held, self.form.pad_id), held

    @classmethod
    def from_pretrained(
        cls,
        folder: Path,
        family: Family,
        network: Mapping[str, Any],
        *,
        max_len: int = 0,
        clean: str = "none",
        rows: int = 0,
    ) -> DualTokenizer:
        """Read the tokenizer of pretrained weights.

        Args:
            folder: that of the weights.
            family: of the dual encoder.
            network: the configuration of the text tower.
            max_len: ids that a caption may have, marks included; 0: as many as the model reads.
            clean: what is done to captions first.
            rows: ids that the tokenizer may have; 0: as many as there are word embeddings.

        Raises:
            CheckpointError: for one that cannot be read, or does not belong to the weights.
            MissingPackageError: for one that needs a package that is not installed.
        """
        given = load_tokenizer(folder)
        longest = count_positions(network)
        if max_len > longest:
            raise RecipeError(f"text_encoder.max_len is {max_len}; the model reads {longest} ids.")
        limit = min(length for length in (max_len, given.model_max_length, longest) if 0 < length < UNLIMITED)
        pieces = make_pieces(given, limit)
        pad_id = given.pad_token_id
        if family.padding == "full":
            left = given.padding_side == "left"
            form = CaptionForm(limit, require_pad(pad_id, folder), longest, left, clean)
        else:
            form = CaptionForm(limit, network.get("pad_token_id") or 0, clean=clean)
        made = cls(pieces, form)
        kind, eos = network.get("model_type"), network.get("eos_token_id")
        argmax = kind == "clip_text_model" and eos == 2  # as before transformers 4.31: pooled at the largest id
        pooled = "largest" if argmax else eos if KINDS.get(str(kind)) == FIRST_EOS else None
        made.require_fit(folder, rows or network["vocab_size"], pooled)
        return made

    @classmethod
    def of_open_clip(cls, folder: Path, network: Mapping[str, Any], context: int, rows: int) -> DualTokenizer:
        """Read the tokenizer of a model of open_clip; one without files has that of OpenAI's CLIP, which open_clip has.

        Args:
            folder: that of the weights.
            network: `text_cfg` of its configuration.
            context: ids that every caption has.
            rows: word embeddings, if the configuration does not say.

        Raises:
            CheckpointError: for one that cannot be read, or does not belong to the weights.
            MissingPackageError: for one that needs a package that is not installed.
        """
        own, settings = not network.get("hf_tokenizer_name"), dict(network.get("tokenizer_kwargs") or {})
        clean, strips = settings.pop("clean", "lower" if own else "whitespace"), settings.pop("strip_sep_token", False)
        unknown = sorted(settings) or [f"clean={clean}"] * (clean not in OF_OPEN_CLIP[own])
        if unknown or (own and strips):
            problem = f"has a tokenizer with {(unknown or ['strip_sep_token'])[0]!r}, which is not supported."
            raise CheckpointError(problem, file=folder, remedy="Choose another model of open_clip.")
        if own:
            more = "none" if clean == "lower" else clean  # it cleans by itself
            made = cls(OpenClipPieces(context), CaptionForm(context, 0, context, clean=more))
        else:
            given = load_tokenizer(folder)
            left, stripped = given.padding_side == "left", given.sep_token_id if strips else None
            form = CaptionForm(context, require_pad(given.pad_token_id, folder), context, left, clean, stripped)
            made = cls(make_pieces(given, context), form)
        known = network.get("hf_model_config")  # a network of transformers, which is not pooled at a mark
        pooling = "" if known else network.get("pool_type", "argmax")
        pooled = {"argmax": "largest", "eos": network.get("eos_id", 2)}.get(pooling)
        made.require_fit(folder, (known or network).get("vocab_size", rows), pooled)
        return made

    def require_fit(self, folder: Path, rows: int, pooled: int | str | None) -> None:
        """Raise CheckpointError for a tokenizer that is not that of the weights.

        Args:
            folder: that of the weights.
            rows: word embeddings of the model.
            pooled: the id that captions are pooled at; "largest": at the largest id; None: at a fixed position.
        """
        try:
            (ids,) = self.encode_split([self.clean(SAMPLE)])
        except Exception as error:  # tokenizers raises it without a type of its own
            raise CheckpointError(
                f"has a tokenizer that cannot be used: {first_line(error)}.", file=folder, remedy=OTHERS
            ) from error
        if len(self) > rows or int(ids.max()) >= rows:
            raise CheckpointError(
                f"has a tokenizer of {len(self):,} ids, but the model has {rows:,} word embeddings.",
                file=folder,
                remedy=OTHERS,
            )
        if LEAST < len(self) < rows - SPARE:
            warnings.warn(
                f"{folder} has a tokenizer of {len(self):,} ids for {rows:,} word embeddings: is it that of another "
                "model? Then embeddings of captions are wrong.",
                VsezooWarning,
                stacklevel=2,
            )
        mark = int(ids.max()) if pooled == "largest" else pooled
        if mark is not None and [*ids.tolist(), mark].index(mark) != len(ids) - 1:
            name = "the largest id" if pooled == "largest" else f"id {pooled}"
            raise CheckpointError(
                f"has a tokenizer that does not belong to it: captions are pooled at the end mark, {name}, which its "
                "captions do not end with; all would get the wrong embedding.",
                file=folder,
                remedy=f"{OTHERS} Or correct eos_token_id of text_config in its config.json.",
            )

    def clean(self, caption: str) -> str:
        """Return a caption as it is cut into ids."""
        return CLEANERS[self.form.clean](caption)

    def split(self, captions: Sequence[str]) -> list[str]:
        """Return the captions, cleaned."""
        return [self.clean(caption) for caption in captions]

    def encode_split(self, split_captions: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each caption; one in which the tokenizer finds nothing has the padding alone."""
        found = self.pieces.encode(split_captions)
        cut = sum(was_cut for _, was_cut in found)
        if cut:
            share = "A caption has" if len(found) == 1 else f"{cut:,} of {len(found):,} captions have"
            limit = f"more than {self.form.limit} ids, marks included"
            warnings.warn(
                f"{share} {limit}; the model reads no more, so the rest is cut off.", VsezooWarning, stacklevel=2
            )
        return [np.array(self._fill(ids), dtype=np.int32) for ids, _ in found]

    def name_tokens(self, caption: str) -> list[str]:
        """Return a text for each id of a caption."""
        (ids,) = self.encode([caption])
        return [self.pieces.decode(index).replace("</w>", "").strip() for index in ids.tolist()]

    def _fill(self, ids: list[int]) -> list[int]:
        ids = [0 if index == self.form.stripped else index for index in ids] or [self.form.pad_id]
        missing = max(0, self.form.pad_to - len(ids)) if self.form.pad_left else 0
        return [self.form.pad_id] * missing + ids

    def to_files(self) -> Mapping[str, bytes]:
        """Return the files of the tokenizer, and `captions.json`."""
        form = json.dumps(dataclasses.asdict(self.form), indent=2) + "\n"
        return {**self.pieces.files, self.FORM: form.encode()}

    @classmethod
    def from_files(cls, folder: Path) -> DualTokenizer:
        """Read what `to_files` returned."""
        path = folder / cls.FORM
        try:
            form = CaptionForm(**read_object(path))
            return cls(read_pieces(folder, form.limit), form)
        except CheckpointError:
            raise
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"cannot be read: {first_line(error)}.", file=path, remedy=RESTORE) from error

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.pieces)


def count_positions(network: Mapping[str, Any]) -> int:
    """Return how many ids a text tower reads. RoBERTa and its relatives count positions from behind the padding id."""
    positions: int = network.get("max_position_embeddings", UNLIMITED - 1)
    relative = any(
        name in str(network.get("model_type"))
        for name in ("roberta", "altclip", "camembert", "data2vec", "longformer", "mpnet", "xmod")
    )
    return positions - (network.get("pad_token_id") or 0) - 1 if relative else positions


def require_pad(pad_id: int | None, folder: Path) -> int:
    """Return the id of the padding.

    Raises:
        CheckpointError: if there is none.
    """
    if pad_id is None:
        raise CheckpointError(
            "has a tokenizer without padding, which belongs to every caption of this model.", file=folder, remedy=OTHERS
        )
    return pad_id
