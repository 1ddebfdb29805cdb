"""Calls of the Hub's client, whose errors become messages with a remedy."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, errors, get_session, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash

from vsezoo.errors import HubError, StorageError, VsezooError, explain_system, first_line
from vsezoo.hub.reference import HubReference

WRAPPERS = (LocalEntryNotFoundError, RevisionResolutionError, RuntimeError)
"""Errors of the client that are less informative than their cause."""

HTTPError: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
"""Network errors, of httpx or httpx2, depending on the version of the client."""

Answer = TypeVar("Answer")

WAIT = 300.0
"""Seconds without a byte after which the Hub is said not to answer; most calls of the client would wait forever."""

LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN."


def list_files(reference: HubReference) -> dict[str, RepoFile]:
    """Return the files of a repository at a revision by path, with sizes and digests."""
    with explain_errors(reference):
        tree = ask(
            lambda: list(HfApi().list_repo_tree(reference.repository, revision=reference.revision, recursive=True))
        )
        return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}


def ask(question: Callable[[], Answer]) -> Answer:
    """Return the result of a call of the client; if the Hub fails, retry once after a moment.

    The client retries some of its calls itself, depending on its version.
    """
    try:
        return question()
    except (HfHubHTTPError, RevisionResolutionError) as error:
        cause = error.__cause__ if isinstance(error, RevisionResolutionError) else error
        if not isinstance(cause, HfHubHTTPError) or cause.response.status_code < 500:
            raise
        time.sleep(1)
        return question()


def holds(entry: RepoFile, content: bytes | Path) -> bool:
    """Return whether a file of the Hub has this content, by its digest: of the file (LFS), or of the git blob."""
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    if entry.size != size:
        return False
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
        if entry.lfs is not None:
            return bool(entry.lfs.sha256 == hashlib.file_digest(stream, "sha256").hexdigest())
        return bool(entry.blob_id == git_hash(stream.read()))


@contextmanager
def explain_errors(reference: HubReference) -> Iterator[None]:
    """Turn exceptions of the client into one message with a remedy, and a Hub that does not answer into one of them."""
    session = get_session()
    before, session.timeout = session.timeout, WAIT
    try:
        yield
    except VsezooError:
        raise
    except Exception as error:  # the client raises exceptions of its parts: HTTP, files, xet
        raise explain(reference, error) from error
    finally:
        session.timeout = before


def explain(reference: HubReference, error: BaseException) -> VsezooError:
    """Return the message for an error of the client."""
    while isinstance(error, WRAPPERS) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
        reason, remedy = explain_system(error)
        return StorageError(
            f"cannot be written: {reason}.",
            file=error.filename or constants.HF_HUB_CACHE,
            remedy=f"{remedy} HF_HOME is the folder for files of the Hub.",
        )
    problem, remedy = _describe(reference, error)
    return HubError(problem, file=str(reference), remedy=remedy)


def _describe(reference: HubReference, error: BaseException) -> tuple[str, str]:
    page = f"{constants.ENDPOINT}/{reference.repository}"
    if isinstance(error, GatedRepoError):
        return "is gated, and you have no access.", f"Request access at {page} and repeat the command. {LOG_IN}"
    if isinstance(error, RepositoryNotFoundError):
        known = "your token has no access to it" if get_token() else "you are not logged in"
        return (
            f"does not exist at {constants.ENDPOINT}, or is private and {known}.",
            f"Check the name. For a private repository: {LOG_IN}",
        )
    if isinstance(error, RevisionNotFoundError):
        return "has no such revision.", f"Omit the revision, or choose one listed at {page}/tree/main."
    if isinstance(error, RemoteEntryNotFoundError):
        return "lacks a file that it should have.", f"Look at {page}/tree/main, or choose another revision."
    if isinstance(error, HfHubHTTPError):
        return _describe_status(error)
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"is not complete in the cache, {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids downloads.",
            "Repeat the command once with a network connection and HF_HUB_OFFLINE=0; after that it works offline.",
        )
    if isinstance(error, HTTPError):
        return (
            f"{constants.ENDPOINT} cannot be reached or does not answer: {first_line(error)}.",
            "Check the network, and HF_ENDPOINT if it is set, and repeat the command. Only folders, and what was "
            "downloaded before, can be used without a network.",
        )
    if "xet" in str(error).lower():
        return f"the transfer by xet failed: {first_line(error)}.", "Repeat the command with HF_HUB_DISABLE_XET=1."
    if "Consistency check failed" in str(error):
        return f"a file was truncated: {first_line(error)}.", "It was not kept: repeat the command."
    return f"the Hub's client failed: {first_line(error)}.", "Repeat the command; if it fails again, see `hf env`."


def _describe_status(error: HfHubHTTPError) -> tuple[str, str]:
    status = error.response.status_code
    said = f": {error.server_message}" if error.server_message else ""
    if status == 401:
        known = "does not accept your token" if get_token() else "requires a login"
        return f"{constants.ENDPOINT} {known}{said}.", f"{LOG_IN} Tokens: {constants.ENDPOINT}/settings/tokens"
    if status == 403:
        return (
            f"your token does not allow this{said}.",
            f"Use one with write access to this repository, from {constants.ENDPOINT}/settings/tokens.",
        )
    if status in (409, 412):
        return (
            f"was changed by someone else in the meantime{said}.",
            "Nothing was changed: repeat the command, which starts from the new state.",
        )
    if status == 429:
        return "the Hub received too many requests from you.", f"Wait a few minutes and repeat the command. {LOG_IN}"
    if status >= 500:
        return (
            f"{constants.ENDPOINT} failed with status {status}{said}.",
            "No partial result was left: repeat the command later.",
        )
    return f"{constants.ENDPOINT} refused with status {status}{said}.", "Check the name and your token."
