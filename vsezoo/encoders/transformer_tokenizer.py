"""The tokenizer and the configuration of a pretrained transformer.

A new model loads them from the Hub or a folder, and later from the checkpoint. Code of a pretrained model is never
executed, and nothing is unpickled. What imports this module need not import transformers, which takes seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tokenizers

from vsezoo.encoders.transformer_source import SUITABLE, explain_errors, find_model
from vsezoo.errors import CheckpointError, RecipeError, first_line
from vsezoo.inputs import Tokenizer
from vsezoo.storage.digests import RESTORE
from vsezoo.storage.json_file import read_object

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Set explicitly, so that tokenizers does not warn about every worker process that is forked after its use.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

UNLIMITED = 10**9
"""Tokenizers without a limit report 10^30."""


class TransformerTokenizer(Tokenizer):
    """The tokenizer of a pretrained model, and the configuration that describes the model.

    Args:
        pieces: splits captions into ids, adds special tokens, and truncates long captions.
        values: configuration of the model, as JSON values.
    """

    FILE: ClassVar[str] = "tokenizer.json"
    CONFIG: ClassVar[str] = "transformer.json"  # config.json belongs to the checkpoint

    def __init__(self, pieces: tokenizers.Tokenizer, values: Mapping[str, Any]) -> None:
        self.pieces, self.values = pieces, values

    @classmethod
    def from_pretrained(cls, model: str, max_len: int = 0) -> TransformerTokenizer:
        """Load the tokenizer and the configuration of a pretrained model.

        Args:
            model: a folder, or a name on the Hub.
            max_len: maximum number of ids of a caption, special tokens included; longer captions are truncated. 0: as
                many as the model reads.

        Raises:
            RecipeError: for a model that is not a text model, or has no fast tokenizer.
            HubError: if it cannot be downloaded.
        """
        from transformers import AutoConfig, AutoTokenizer

        folder = find_model(model)
        with explain_errors(model):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            config = config.get_text_config()
        if config.is_encoder_decoder or config.sub_configs:
            raise RecipeError(f"is not a text encoder but a {config.model_type} model.", file=model, remedy=SUITABLE)
        with explain_errors(model):
            given = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if not given.is_fast:
            raise RecipeError(
                "has no fast tokenizer (of the library tokenizers).",
                file=model,
                remedy="Use a model with a tokenizer.json.",
            )
        pieces: tokenizers.Tokenizer = given.backend_tokenizer
        pieces.no_padding()
        limits = (max_len, given.model_max_length, getattr(config, "max_position_embeddings", None))
        _limit(pieces, min((limit for limit in limits if limit and limit < UNLIMITED), default=0))
        values = json.loads(config.to_json_string(use_diff=False))
        # Names with an underscore describe where it was loaded, such as a path on this machine.
        return cls(pieces, {name: value for name, value in values.items() if not name.startswith("_")})

    def split(self, captions: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of captions; a caption without tokens becomes the id 0."""
        return [np.array(found.ids or [0], dtype=np.int32) for found in self.pieces.encode_batch(list(captions))]

    def encode_split(self, split_captions: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the results of `split`."""
        return list(split_captions)

    def name_tokens(self, caption: str) -> list[str]:
        """Return a text for each id of a caption: the part of it that the token covers, or the name of the token."""
        found = self.pieces.encode(caption)
        covered = (caption[start:end].strip() for start, end in found.offsets)
        return [text or token for text, token in zip(covered, found.tokens, strict=True)] or [""]

    def to_files(self) -> Mapping[str, bytes]:
        """Return `tokenizer.json` and `transformer.json`."""
        config = json.dumps(self.values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        return {self.FILE: self.pieces.to_str(pretty=True).encode(), self.CONFIG: config.encode()}

    @classmethod
    def from_files(cls, folder: Path) -> TransformerTokenizer:
        """Load `tokenizer.json` and `transformer.json`."""
        path = folder / cls.FILE
        try:
            pieces = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
            path = folder / cls.CONFIG
            tokenizer = cls(pieces, read_object(path))
            tokenizer.make_config()
        except CheckpointError:
            raise
        except Exception as error:  # both libraries raise errors of many types
            raise CheckpointError(f"cannot be read: {first_line(error)}.", file=path, remedy=RESTORE) from error
        return tokenizer

    def make_config(self) -> PreTrainedConfig:
        """Return the configuration of the model."""
        from transformers import AutoConfig

        config = AutoConfig.for_model(**self.values)
        config.use_cache = False  # the key-value cache of decoders is not needed
        return config

    def __len__(self) -> int:
        """Return the number of ids."""
        return self.pieces.get_vocab_size(with_added_tokens=True)


def _limit(pieces: tokenizers.Tokenizer, limit: int) -> None:
    """Truncate captions at this number of ids; 0: never."""
    marks = pieces.num_special_tokens_to_add(False)
    if limit and limit <= marks:
        raise RecipeError(f"text_encoder.max_len is {limit}; it must be above {marks}, the number of special tokens.")
    if limit:
        pieces.enable_truncation(limit)
    else:
        pieces.no_truncation()
