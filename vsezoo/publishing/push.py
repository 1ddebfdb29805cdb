"""Upload a checkpoint to the Hub: one commit with the changed files, on top of the state that was compared."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, constants, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import HubError, UsageError, report_system_errors
from vsezoo.hub.client import ask, explain_errors, holds, list_files
from vsezoo.hub.reference import EXAMPLES, HubReference, parse_reference
from vsezoo.publishing.publication import build_card, list_state, open_publication
from vsezoo.storage.checkpoint_layout import CARD
from vsezoo.storage.snapshot import TENSORS

HUB = "https://huggingface.co"
LARGEST_CARD = 4 * 2**20
Content = bytes | Path


@dataclass(frozen=True)
class Push:
    """The result of a push or of a dry run.

    Attributes:
        reference: the repository at the new commit, or at the current one if nothing has changed.
        url: address of that commit or of the pull request; empty if there is no repository yet.
        sent: sizes in bytes of the changed files, by path.
        unchanged: paths of the files that are already on the Hub.
        missing: missing facts of the card, one sentence each.
    """

    reference: str
    url: str
    sent: Mapping[str, int]
    unchanged: tuple[str, ...]
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value printed by `vsezoo push --json`."""
        values = {"reference": self.reference, "url": self.url or None, "sent": dict(self.sent)}
        return {**values, "unchanged": list(self.unchanged), "missing": list(self.missing)}


@dataclass(frozen=True)
class _Target:
    """The current state of the target branch: commit and files; None and no files if there is no repository yet."""

    reference: HubReference
    commit: str | None
    files: Mapping[str, RepoFile]


@report_system_errors
def push(
    run: str | Path,
    repository: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    message: str | None = None,
    with_state: bool = False,
    dry_run: bool = False,
) -> Push:
    """Upload a checkpoint to the Hub.

    Files and card are compared with the Hub, and those that differ are uploaded in one commit. The card on the Hub
    keeps text written by people, see `vsezoo.cards.merge`. The local folder is not changed.

    Args:
        run: a checkpoint folder, or the folder of a run, for its best checkpoint.
        repository: `hub:org/name`; created if needed.
        private: create a private repository.
        create_pr: open a pull request instead of committing to the branch.
        revision: the branch, created if needed. None: the revision of `repository`, or the default branch.
        message: commit message.
        with_state: also upload the training state, for `resume`.
        dry_run: only report what would be uploaded.

    Raises:
        UsageError: for an invalid reference, or for `private` with a public repository.
        CheckpointError: for a folder that is not a checkpoint, or is damaged.
        HubError: when the Hub refuses or does not answer, or someone else commits at the same time.
    """
    reference = parse_reference(repository)
    if reference is None:
        raise UsageError(f"{repository!r} is not a repository of the Hub.", remedy=EXAMPLES)
    if revision is not None:
        reference = parse_reference(f"hub:{reference.repository}@{revision}") or reference
    if reference.pinned:
        raise UsageError(f"{reference} is a commit; a push needs a branch.", remedy="Give the name of a branch.")
    publication = open_publication(run)
    checkpoint = publication.checkpoint
    state = list_state(publication) if with_state else {}
    target = _peek(reference, private) if dry_run else _open_target(reference, private)
    card = build_card(publication, remote=_read_card(target), reference=f"hub:{reference.repository}")
    contents: dict[str, Content] = {
        name: checkpoint.folder / name if name.endswith(TENSORS) else checkpoint.read_bytes(name)
        for name in publication.files
    }
    contents |= {**card.files, **state}
    changed = {
        name: content
        for name, content in contents.items()
        if name not in target.files or not holds(target.files[name], content)
    }
    missing = list(card.missing)
    commit = target.commit
    url = f"{constants.ENDPOINT}/{reference.repository}/commit/{commit}" if commit else ""
    if changed and not dry_run:
        info = _commit(target, changed, message or _summarise(checkpoint), create_pr, missing, checkpoint)
        if info is not None:
            commit, url = info.oid, info.pr_url or info.commit_url
    return Push(
        str(reference.at(commit) if commit else reference),
        url,
        {name: _measure(content) for name, content in changed.items()},
        tuple(name for name in contents if name not in changed),
        tuple(missing),
    )


def _look(reference: HubReference, private: bool = False) -> _Target:
    """Return the current state of the branch; one that does not exist or is not visible has no files."""
    if constants.HF_HUB_OFFLINE:
        problem = "cannot be reached: HF_HUB_OFFLINE forbids it, and a push needs the network."
        raise HubError(problem, file=str(reference), remedy="Repeat the command with HF_HUB_OFFLINE=0.")
    with explain_errors(reference):
        try:
            info = ask(lambda: HfApi().model_info(reference.repository, revision=reference.revision))
        except GatedRepoError:
            raise
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return _Target(reference, None, {})
    if private and info.private is False:
        problem = "already exists and is public: --private cannot change that."
        remedy = f"Make it private at {constants.ENDPOINT}/{reference.repository}/settings, or choose another name."
        raise UsageError(problem, file=str(reference), remedy=remedy)
    return _Target(reference, info.sha, list_files(reference.at(info.sha)) if info.sha else {})


def _peek(reference: HubReference, private: bool) -> _Target:
    """Return the current state of the branch, or one without files if the Hub does not answer."""
    try:
        return _look(reference, private)
    except HubError as error:
        print(f"The files on the Hub are unknown: {error}", file=sys.stderr)
        return _Target(reference, None, {})


def _open_target(reference: HubReference, private: bool) -> _Target:
    """Return the target branch; create repository and branch if needed."""
    target = _look(reference, private)
    if target.commit is not None:
        return target
    with explain_errors(reference):
        HfApi().create_repo(reference.repository, private=private or None, exist_ok=True)
        if reference.revision is not None:
            HfApi().create_branch(reference.repository, branch=reference.revision, exist_ok=True)
    return _look(reference)


def _read_card(target: _Target) -> str | None:
    entry = target.files.get(CARD)
    if entry is None or entry.size > LARGEST_CARD:
        return None
    with explain_errors(target.reference):
        path = hf_hub_download(target.reference.repository, CARD, revision=target.commit)
    return Path(path).read_text(encoding="utf-8-sig", errors="replace")


def _commit(
    target: _Target,
    contents: dict[str, Content],
    message: str,
    create_pr: bool,
    missing: list[str],
    checkpoint: Checkpoint,
) -> CommitInfo | None:
    """Commit; a card that the Hub rejects is removed from the commit and from `contents`, and listed as missing."""
    disabled = constants.HF_HUB_DISABLE_XET
    try:
        while contents:
            with explain_errors(target.reference), _show_warnings():
                try:
                    return _send(target, contents, message, create_pr, checkpoint)
                except Exception as error:
                    if CARD in contents and _concerns_card(error):
                        del contents[CARD]
                        missing.append(f"The card, which was not uploaded: {' '.join(str(error).split())}")
                    elif _lacks_xet(error):
                        print(f"{constants.ENDPOINT} does not accept xet: uploaded with LFS.", file=sys.stderr)
                        constants.HF_HUB_DISABLE_XET = True
                    else:
                        raise
        return None
    finally:
        constants.HF_HUB_DISABLE_XET = disabled


def _concerns_card(error: Exception) -> bool:
    """Return whether the check of the card failed, which the client makes before any upload."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == 404 and "validate-yaml" in str(error.request.url)
    return isinstance(error, json.JSONDecodeError) or (isinstance(error, ValueError) and CARD in str(error))


def _lacks_xet(error: Exception) -> bool:
    """Return whether a self-hosted Hub has no xet storage; the client does not fall back to LFS by itself."""
    return constants.ENDPOINT != HUB and not constants.HF_HUB_DISABLE_XET and "xet" in str(error).lower()


def _send(
    target: _Target, contents: Mapping[str, Content], message: str, create_pr: bool, checkpoint: Checkpoint
) -> CommitInfo:
    operations = [CommitOperationAdd(name, content) for name, content in contents.items()]  # which hashes files
    if not checkpoint.is_current():
        problem = "was replaced while it was read, perhaps by its training run."
        raise UsageError(problem, file=checkpoint.folder, remedy="Nothing was uploaded: repeat the command.")
    return HfApi().create_commit(
        target.reference.repository,
        operations,
        commit_message=message,
        revision=target.reference.revision,
        create_pr=create_pr,
        parent_commit=target.commit,
    )


def _summarise(checkpoint: Checkpoint) -> str:
    recipe, data = checkpoint.config["recipe"], checkpoint.config["data"]
    evaluation = checkpoint.evaluation()
    figures = f", rsum {evaluation['rsum']:.1f}" if evaluation else ""
    return f"{recipe['name']} trained on {data['name']}{figures}"


def _measure(content: Content) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


@contextmanager
def _show_warnings() -> Iterator[None]:
    """Print warnings of the client, for example about metadata of the card, as plain lines on standard error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        print(warning.message, file=sys.stderr)
