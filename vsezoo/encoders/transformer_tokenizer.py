"""The tokenizer of a pretrained transformer, and the configuration that goes with it.

They come from the Hub or from a folder when a new model is made, and from the checkpoint ever after. Code that comes
with a pretrained model is never run, and nothing of it is unpickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tokenizers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.utils import logging

from vsezoo.errors import CheckpointError, HubError, RecipeError
from vsezoo.interfaces import Tokenizer
from vsezoo.storage.folders import RESTORE

# Said outright, so that tokenizers does not warn of every worker process that is forked after it has run.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
"""What is fetched of a repository of the Hub: no code, no pickles."""
UNLIMITED = 10**9
"""Tokenizers without a limit say 10^30."""
SUITABLE = "Take a model that reads text alone, such as BERT, RoBERTa, DistilBERT or one of sentence-transformers."


class TransformerTokenizer(Tokenizer):
    """The tokenizer of a pretrained model, and the configuration that tells what this model is.

    Args:
        pieces: cuts captions into ids, puts the model's marks around them, and cuts off what is too long.
        values: the configuration of the model, as JSON values.
    """

    FILE: ClassVar[str] = "tokenizer.json"
    CONFIG: ClassVar[str] = "transformer.json"  # config.json is the checkpoint's own

    def __init__(self, pieces: tokenizers.Tokenizer, values: Mapping[str, Any]) -> None:
        self.pieces, self.values = pieces, values

    @classmethod
    def from_pretrained(cls, model: str, max_len: int = 0) -> TransformerTokenizer:
        """Read the tokenizer and the configuration of a pretrained model.

        Args:
            model: a folder, or a name of the Hub.
            max_len: ids that a caption may have, marks included; the rest is cut off. 0: as many as the model reads.

        Raises:
            RecipeError: for what is no text model, or has no fast tokenizer.
            HubError: for what the Hub does not give.
        """
        folder = find_model(model)
        with explain_errors(model):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
            config = config.get_text_config()
        if config.is_encoder_decoder or config.sub_configs:
            raise RecipeError(f"is no text encoder, but a {config.model_type} model.", file=model, remedy=SUITABLE)
        with explain_errors(model):
            given = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if not given.is_fast:
            raise RecipeError(
                "has no fast tokenizer, that is none of the library tokenizers.",
                file=model,
                remedy="Take a model that has a tokenizer.json.",
            )
        pieces: tokenizers.Tokenizer = given.backend_tokenizer
        pieces.no_padding()
        limits = (max_len, given.model_max_length, getattr(config, "max_position_embeddings", None))
        _limit(pieces, min((limit for limit in limits if limit and limit < UNLIMITED), default=0))
        values = json.loads(config.to_json_string(use_diff=False))
        # Names with an underscore tell where it was read, such as a path on this machine.
        return cls(pieces, {name: value for name, value in values.items() if not name.startswith("_")})

    def split(self, captions: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of captions; one in which the tokenizer finds nothing has the id 0 alone."""
        return [np.array(found.ids or [0], dtype=np.int32) for found in self.pieces.encode_batch(list(captions))]

    def encode_split(self, split_captions: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return what `split` gave."""
        return list(split_captions)

    def to_files(self) -> Mapping[str, bytes]:
        """Return `tokenizer.json` and `transformer.json`."""
        config = json.dumps(self.values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        return {self.FILE: self.pieces.to_str(pretty=True).encode(), self.CONFIG: config.encode()}

    @classmethod
    def from_files(cls, folder: Path) -> TransformerTokenizer:
        """Read `tokenizer.json` and `transformer.json`."""
        path = folder / cls.FILE
        try:
            pieces = tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
            path = folder / cls.CONFIG
            tokenizer = cls(pieces, json.loads(path.read_bytes()))
            tokenizer.make_config()
        except Exception as error:  # both libraries raise what they like
            raise CheckpointError(f"cannot be read: {_shorten(error)}.", file=path, remedy=RESTORE) from error
        return tokenizer

    def make_config(self) -> PreTrainedConfig:
        """Return the configuration of the model."""
        config = AutoConfig.for_model(**self.values)
        config.use_cache = False  # of what a decoder has read, for which there is no use here
        return config

    def __len__(self) -> int:
        """Return the number of ids."""
        return self.pieces.get_vocab_size(with_added_tokens=True)


def find_model(model: str) -> Path:
    """Return the folder of a pretrained model; one of the Hub is fetched into the cache of the Hub's client.

    Raises:
        RecipeError: for an empty name.
        HubError: for what the Hub does not give.
    """
    if not model:
        raise RecipeError(
            "text_encoder.model names no pretrained model.", remedy="Name one: --text-encoder hf:bert-base-uncased"
        )
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(model, allow_patterns=[*FILES], ignore_patterns=["*/*"]))
    except HFValidationError as error:
        raise RecipeError(
            "is no folder, and cannot be a name of the Hub.",
            file=model,
            remedy="Give a folder of a pretrained model, or a name such as bert-base-uncased.",
        ) from error
    except Exception as error:  # the client raises what its parts raise
        reason = _shorten(error)
        if isinstance(error, RepositoryNotFoundError):
            reason = "it is not there, or it is private or gated and you are not let in"
        elif isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
            reason = _shorten(error.__cause__)  # the network's own words
        raise HubError(
            f"is no folder here, and the Hub does not give it: {reason}.",
            file=model,
            remedy="Give the folder of a pretrained model, or check the name and connect to the network; log in with "
            "`hf auth login` where it is wanted. Under HF_HUB_OFFLINE=1 only what was fetched before is found.",
        ) from error


def _limit(pieces: tokenizers.Tokenizer, limit: int) -> None:
    """Cut captions after so many ids; 0: never."""
    marks = pieces.num_special_tokens_to_add(False)
    if limit and limit <= marks:
        raise RecipeError(f"text_encoder.max_len is {limit}; it must be above {marks}, the marks around each caption.")
    if limit:
        pieces.enable_truncation(limit)
    else:
        pieces.no_truncation()


@contextmanager
def explain_errors(model: str) -> Iterator[None]:
    """Turn what transformers raises into one message, and keep what it says of weights without use to itself."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    try:
        yield
    except Exception as error:  # it raises what it likes
        raise RecipeError(
            f"cannot be read as a pretrained text model: {_shorten(error)}.",
            file=model,
            remedy="Give a folder that has the config.json, the tokenizer.json and the model.safetensors of a model, "
            "as save_pretrained writes them.",
        ) from error
    finally:
        logging.set_verbosity(verbosity)


def _shorten(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].strip().rstrip(".:")
