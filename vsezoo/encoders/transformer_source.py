"""Where a pretrained transformer is: in a folder, or on the Hub. Nothing of it is executed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
from transformers.utils import logging

from vsezoo.errors import CheckpointError, HubError, RecipeError
from vsezoo.hub.reference import COMMIT
from vsezoo.pretrained.weights import VARIABLE

FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
"""What is fetched of a repository of the Hub: no code, no pickles."""
SUITABLE = "Take a model that reads text alone, such as BERT, RoBERTa, DistilBERT or one of sentence-transformers."


def find_model(model: str, revision: str | None = None) -> Path:
    """Return the folder of a pretrained model; one of the Hub is fetched into the cache of the Hub's client.

    Args:
        model: a folder, or a name of the Hub.
        revision: of the repository of the Hub; None: the newest.

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
        return Path(snapshot_download(model, revision=revision, allow_patterns=[*FILES], ignore_patterns=["*/*"]))
    except HFValidationError as error:
        raise RecipeError(
            "is not a folder, and cannot be a name of the Hub.",
            file=model,
            remedy="Give a folder of a pretrained model, or a name such as bert-base-uncased.",
        ) from error
    except Exception as error:  # the client raises what its parts raise
        reason = shorten(error)
        if isinstance(error, RepositoryNotFoundError):
            reason = "it is not there, or it is private or gated and you are not let in"
        elif isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
            reason = shorten(error.__cause__)  # the network's own words
        raise HubError(
            f"is not a folder here, and the Hub does not give it: {reason}.",
            file=model,
            remedy="Give the folder of a pretrained model, or check the name and connect to the network; log in with "
            "`hf auth login` where it is wanted. Under HF_HUB_OFFLINE=1 only what was fetched before is found.",
        ) from error


def find_folder_again(folder: str, places: Sequence[Path]) -> Path:
    """Return a folder that was read before: as given, or by its name in `$VSEZOO_WEIGHTS` or in one of the places.

    Raises:
        CheckpointError: if it is not there.
    """
    given, shared = Path(folder).expanduser(), os.environ.get(VARIABLE)
    others = [*([Path(shared)] if shared else []), *places]
    for place in (given, *(other / given.name for other in others)):
        if os.path.isdir(place):  # noqa: PTH112 (unlike Path.is_dir false for a name that no folder can have)
            return place
    elsewhere = f", nor is there one of that name in {' or '.join(map(str, others))}" if others else ""
    raise CheckpointError(
        f"is not a folder{elsewhere}.",
        file=folder,
        remedy=f"Put the folder of the pretrained model there, or set {VARIABLE} to the folder that holds it.",
    )


def read_revision(folder: Path) -> str | None:
    """Return the commit that a folder in the cache of the Hub's client is of; None: it is of none."""
    return folder.name if folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name) else None


@contextmanager
def explain_errors(model: str) -> Iterator[None]:
    """Turn what transformers raises into one message, and have it print nothing of unused weights and of progress."""
    verbosity, shows_progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    except Exception as error:  # it raises what it likes
        raise RecipeError(
            f"cannot be read as a pretrained text model: {shorten(error)}.",
            file=model,
            remedy="Give a folder that has the config.json, the tokenizer.json and the model.safetensors of a model, "
            "as save_pretrained writes them.",
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if shows_progress:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def shorten(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].strip().rstrip(".:")
