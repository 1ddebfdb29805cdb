"""What is published of a checkpoint: its files, its card, and the plot and figures of the card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from vsezoo.cards.card import HERE, Run, render_card
from vsezoo.cards.licenses import require_license
from vsezoo.cards.merge import choose_card, merge_card
from vsezoo.cards.metadata import EVAL_RESULTS, UNKNOWN_LICENSE, write_eval_results
from vsezoo.checkpoints.locate import find_named
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import CheckpointError, MissingPackageError, UsageError, first_line
from vsezoo.hub.reference import parse_reference
from vsezoo.pretrained.external import PRETRAINED
from vsezoo.publishing.curves import CURVES, draw_curves
from vsezoo.storage.atomic_file import write_whole
from vsezoo.storage.atomic_folder import find_folder
from vsezoo.storage.checkpoint_layout import BEST, CARD, CONFIG
from vsezoo.training.layout import LAST, STATE
from vsezoo.training.state import has_state, read_state
from vsezoo.training.state_file import read_state_file

NO_LICENSE = "The licence: set it with `vsezoo card RUN --license ID` (an identifier of the Hub) before the push."


@dataclass(frozen=True)
class Publication:
    """A verified local checkpoint, and its run.

    Attributes:
        checkpoint: the checkpoint to publish.
        run: folder of its run; None for a checkpoint alone.
    """

    checkpoint: Checkpoint
    run: Path | None

    @property
    def files(self) -> list[str]:
        """The names of its files, without the card."""
        return [CONFIG, *self.checkpoint.config["files"]]


@dataclass(frozen=True)
class CardFiles:
    """A card and its files.

    Attributes:
        text: the card; None if the existing one cannot be updated and must stay.
        others: contents of the files next to it, by path.
        missing: missing facts, one sentence each.
    """

    text: str | None
    others: Mapping[str, bytes]
    missing: tuple[str, ...]

    @property
    def files(self) -> dict[str, bytes]:
        """All contents by path."""
        return {**({} if self.text is None else {CARD: self.text.encode()}), **self.others}


def open_publication(run: str | Path) -> Publication:
    """Find and verify a local checkpoint.

    Args:
        run: a checkpoint folder, or the folder of a run, for its best checkpoint.

    Raises:
        UsageError: for a reference to the Hub.
        CheckpointError: for a folder that is not a checkpoint, or is damaged.
    """
    if parse_reference(run) or find_named(run):
        raise UsageError(f"{str(run)!r} is already on the Hub.", remedy="Give the folder of a run or of a checkpoint.")
    checkpoint = Checkpoint.open(run)
    checkpoint.verify()
    path = checkpoint.folder
    for name in (CARD, *checkpoint.config["files"], CONFIG):
        if (path / name).resolve().parent != path.resolve():
            remedy = "Replace the link with a copy of the file, if it belongs to the checkpoint."
            raise CheckpointError("is a symbolic link that leads out of the folder.", file=path / name, remedy=remedy)
    folder = path.absolute().parent
    whole = path.absolute() == find_folder(folder / BEST) and has_state(folder)
    return Publication(checkpoint, folder if whole else None)


def list_state(publication: Publication) -> dict[str, Path]:
    """Return the verified files of the training state, by path relative to the folder of the run.

    Raises:
        CheckpointError: for a checkpoint without them, or when they are damaged.
    """
    if publication.run is None:
        problem = f"is not in a run with a {LAST}/ folder, so there is no training state."
        remedy = "Omit --with-state, or give the folder of the run."
        raise CheckpointError(problem, file=publication.checkpoint.folder, remedy=remedy)
    read_state(publication.run)
    folder = find_folder(publication.run / LAST)
    return {f"{LAST}/{file.name}": file for file in sorted(folder.iterdir())}


def build_card(
    publication: Publication, *, remote: str | None = None, reference: str = HERE, license: str | None = None
) -> CardFiles:
    """Update the card of a checkpoint; facts that fail are left out and listed as missing.

    Args:
        publication: the checkpoint.
        remote: the card on the Hub; None: there is none.
        reference: the reference in the example that loads it.
        license: an identifier of the Hub; None: keep the licence of the card, if it has one.

    Raises:
        UsageError: for a licence that the Hub does not know.
    """
    if license is not None:
        require_license(license)
    missing: list[str] = []
    others: dict[str, bytes] = {}
    config, evaluation = publication.checkpoint.config, publication.checkpoint.evaluation()
    run = Run()
    if publication.run is not None:
        try:
            run = _describe_run(publication.run)
            picture = draw_curves(publication.run)
            if picture is not None:
                others[CURVES] = picture
                run = Run(run.captions_sha256, run.flags, CURVES)
        except MissingPackageError as error:
            missing.append(" ".join(str(error).splitlines()))
        except Exception as error:  # a card must never stop a push
            missing.append(f"Facts about the run: {first_line(error)}.")
    missing += _list_weights_to_give(config)
    local_file = publication.checkpoint.folder / CARD
    local = local_file.read_text(encoding="utf-8-sig", errors="replace") if local_file.is_file() else None
    stated = license or _read_license(local) or UNKNOWN_LICENSE
    card = render_card(config, evaluation, run, reference=reference, license=stated)
    missing += card.missing
    try:
        if evaluation is not None:
            others[EVAL_RESULTS] = write_eval_results(evaluation)
    except Exception as error:
        missing.append(f"{EVAL_RESULTS}: {first_line(error)}.")
    text: str | None = card.text
    try:
        chosen, left_out = choose_card(local or card.text, remote, card.text)
        text = merge_card(chosen, card.text, license)
        if left_out:
            missing.append(f"Your text in {local_file}: the card on the Hub has different text, which is kept.")
        if _read_license(text) in (None, UNKNOWN_LICENSE):
            missing.append(NO_LICENSE)
    except Exception as error:
        kept = local if remote is None else remote
        missing.append(f"The card: the existing one cannot be read and is not changed: {first_line(error)}.")
        text = None if kept is not None else text
    return CardFiles(text, others, tuple(missing))


def write_card(folder: Path, card: CardFiles) -> list[Path]:
    """Write a card and its files to the checkpoint folder, each file atomically.

    Raises:
        StorageError: when a file cannot be written; the previous one is kept.
    """
    written = []
    for name, content in card.files.items():
        path = folder / name
        write_whole(path, content)
        written.append(path)
    return written


def _describe_run(run: Path) -> Run:
    state = read_state_file(find_folder(run / LAST) / STATE)["run"]
    flags = [flag for flag in ("full_dev", "use_restval") if state.get(flag)]
    words = [f"--{flag.replace('_', '-')}" for flag in flags]
    if state.get("on_bad_image") == "skip":
        words += ["--on-bad-image", "skip"]
    if state.get("init"):
        # Only the name of a folder: its path is private.
        folder = Path(state["init"])
        named = folder.parent if folder.name == BEST else folder
        words += ["--init", state["init"] if parse_reference(state["init"]) else named.name]
    return Run(str(state.get("captions_sha256", "")), tuple(words))


def _list_weights_to_give(config: Mapping[str, Any]) -> list[str]:
    """List the weight files that neither the checkpoint nor a library provides."""
    left_out = config.get("left_out", [])
    described = [(name, weights) for name in left_out for weights in config["encoders"].get(name, {}).values()]
    return [
        f"The weights of {weights['name']}: loading the model requires {weights['source']} "
        f"(training with `{encoder}.store_weights=true` stores them in the checkpoint)."
        for encoder, weights in described
        if isinstance(weights, Mapping) and weights.get("source", PRETRAINED) != PRETRAINED
    ]


def _read_license(card: str | None) -> str | None:
    try:
        return None if card is None else getattr(ModelCard(card, ignore_metadata_errors=True).data, "license", None)
    except Exception:  # merging the card reports the problem
        return None
