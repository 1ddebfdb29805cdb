"""Locate a pretrained transformer, in a folder or on the Hub. None of its code is executed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

from vsezoo.errors import CheckpointError, HubError, RecipeError, first_line
from vsezoo.hub.reference import COMMIT
from vsezoo.pretrained.weights import VARIABLE

FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
"""Files downloaded from a Hub repository: no code, no pickles."""
SUITABLE = "Use a text-only model, such as BERT, RoBERTa, DistilBERT or one of sentence-transformers."


def find_model(model: str, revision: str | None = None) -> Path:
    """Return the folder of a pretrained model; one on the Hub is downloaded to the Hub cache.

    Args:
        model: a folder, or a name on the Hub.
        revision: of the Hub repository; None: the newest.

    Raises:
        RecipeError: for an empty name.
        HubError: if it cannot be downloaded.
    """
    if not model:
        raise RecipeError(
            "text_encoder.model does not name a pretrained model.",
            remedy="Name one: --text-encoder hf:bert-base-uncased",
        )
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*FILES], ignore_patterns=["*/*"]))
    except HFValidationError as error:
        raise RecipeError(
            "is not a folder, and cannot be a name on the Hub.",
            file=model,
            remedy="Use the folder of a pretrained model, or a name such as bert-base-uncased.",
        ) from error
    except Exception as error:  # the client raises errors of many types
        reason = first_line(error)
        if isinstance(error, RepositoryNotFoundError):
            reason = "it does not exist, or is private or gated and you have no access"
        elif isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
            reason = first_line(error.__cause__)  # the message of the network library
        raise HubError(
            f"is not a folder, and could not be downloaded from the Hub: {reason}.",
            file=model,
            remedy="Use the folder of a pretrained model, or check the name and the network connection; log in with "
            "`hf auth login` if required. HF_HUB_OFFLINE=1 allows only cached models.",
        ) from error


def find_folder_again(folder: str, places: Sequence[Path]) -> Path:
    """Return the folder of earlier weights: as given, or by its name in `$VSEZOO_WEIGHTS` or one of the places.

    Raises:
        CheckpointError: if it does not exist.
    """
    given, shared = Path(folder).expanduser(), os.environ.get(VARIABLE)
    others = [*([Path(shared)] if shared else []), *places]
    for place in (given, *(other / given.name for other in others)):
        if os.path.isdir(place):  # noqa: PTH112 (unlike Path.is_dir, false for an invalid name)
            return place
    elsewhere = f", nor is there one of that name in {' or '.join(map(str, others))}" if others else ""
    raise CheckpointError(
        f"is not a folder{elsewhere}.",
        file=folder,
        remedy=f"Copy the folder of the pretrained model there, or set {VARIABLE} to its parent folder.",
    )


def read_revision(folder: Path) -> str | None:
    """Return the commit of a folder in the Hub cache; None for another folder."""
    return folder.name if folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name) else None


@contextmanager
def explain_errors(model: str) -> Iterator[None]:
    """Convert errors of transformers to one message, and suppress its progress bars and notes on unused weights."""
    from transformers.utils import logging

    verbosity, shows_progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    except Exception as error:  # errors of many types
        raise RecipeError(
            f"cannot be read as a pretrained text model: {first_line(error)}.",
            file=model,
            remedy="Use a folder with config.json, tokenizer.json and model.safetensors, "
            "as written by save_pretrained.",
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if shows_progress:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
