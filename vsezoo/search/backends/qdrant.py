"""The index `qdrant`: candidates come from a Qdrant server, and are scored again from the index folder.

Points are numbered as the rows of the folder. Each build fills a collection of its own, so that a build that does not
finish leaves the one that is searched as it is.
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from torch import Tensor

from vsezoo.errors import ServerError, UsageError, VsezooError, first_line, require_package
from vsezoo.interfaces import Similarity
from vsezoo.search.backends.candidates import CandidateRows
from vsezoo.search.collection import Array
from vsezoo.search.indexes import Rows
from vsezoo.search.stored.manifest import REBUILD, read_manifest

URL = "http://localhost:6333"
KEY = "QDRANT_API_KEY"
"""The variable with the key of the server, if it wants one."""
UPLOADED = 256
"""Rows that are sent at a time."""
PATIENCE = 60
"""Seconds for an answer."""


class QdrantRows(CandidateRows):
    """Inner products with the candidates of a server; it is built by `keep`, in an index folder only."""

    options = ("url", "collection")

    def __init__(self, rows: Tensor, similarity: Similarity, side: Literal["images", "texts"]) -> None:
        raise UsageError(
            "The index 'qdrant' is kept on a server.", remedy="Build it with `vsezoo index build --index qdrant`."
        )

    @classmethod
    def keep(
        cls, folder: Path, rows: Rows, generation: int, options: Mapping[str, Any], state: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Send the rows that the server does not have, and remove those that were removed; see `KeptRows.keep`."""
        url, base = options.get("url", URL), options.get("collection") or _name(folder)
        name, known = state.get("collection", f"{base}-{generation}"), state.get("count", 0)
        client, models = connect(url), _import_client().models
        with explain_server(url):
            if not state:
                client.delete_collection(name)  # what a build that did not finish has left
            if not client.collection_exists(name):
                width, known = rows.vectors.shape[1], 0
                form = models.VectorParams(size=width, distance=models.Distance.DOT, on_disk=True)
                client.create_collection(name, vectors_config=form)
            for start in range(known, len(rows.vectors), UPLOADED):
                numbers = list(range(start, min(start + UPLOADED, len(rows.vectors))))
                vectors = rows.vectors[start : start + UPLOADED].float().numpy()
                client.upsert(name, models.Batch(ids=numbers, vectors=vectors.tolist()), wait=True)
            _remove_older(client, folder, base, name)
        return {"url": url, "collection": name, "count": len(rows.vectors)}

    @classmethod
    def open(
        cls,
        folder: Path,
        rows: Rows,
        state: Mapping[str, Any],
        similarity: Similarity,
        side: Literal["images", "texts"],
    ) -> Self:
        """Connect to the server; see `KeptRows.open`."""
        index = cls.__new__(cls)
        index._set(rows, len(rows.vectors), similarity, side)
        index._set_collection(state["url"], state["collection"])
        return index

    def _set_collection(self, url: str, name: str) -> None:
        self._client, self._url, self._name = connect(url), url, name
        with explain_server(url):
            exists = self._client.collection_exists(name)
        if not exists:
            raise ServerError(f"has no collection {name!r}.", file=url, remedy=REBUILD)

    def _fetch(self, queries: Tensor, count: int, wider: int) -> tuple[Array, Array] | None:
        if wider > 1:
            return None
        models = _import_client().models
        wanted = [models.QueryRequest(query=query, limit=count) for query in queries.cpu().tolist()]
        with explain_server(self._url):
            answers = self._client.query_batch_points(self._name, wanted)
        products = np.full((len(queries), count), -np.inf, np.float32)
        numbers = np.full((len(queries), count), -1, np.int64)
        for query, answer in enumerate(answers):
            found = [(point.score, point.id) for point in answer.points if self._may_be_found(point.id)]
            for place, pair in enumerate(found):
                products[query, place], numbers[query, place] = pair
        return products, numbers

    def _may_be_found(self, row: int) -> bool:
        """Return whether a row is one of the index as it was opened: it may have been extended since."""
        return row < len(self._rows.vectors) and (self._rows.alive is None or bool(self._rows.alive[row]))


def connect(url: str) -> Any:
    """Return a client of a server.

    Raises:
        ServerError: for a server that does not answer, refuses, or is of a version that the client does not know.
        MissingPackageError: names the command that installs the client.
    """
    client = _import_client().QdrantClient(
        url=url, api_key=os.environ.get(KEY), timeout=PATIENCE, check_compatibility=False
    )
    with explain_server(url):
        found, own = client.info().version, version("qdrant-client")
    (major, minor), (own_major, own_minor) = _read_version(found), _read_version(own)
    if major != own_major or abs(minor - own_minor) > 1:
        raise ServerError(
            f"is Qdrant {found}, and the installed client is for {own_major}.{own_minor}.",
            file=url,
            remedy=f"Install the client of the server: python -m pip install 'qdrant-client=={major}.{minor}.*'",
        )
    return client


@contextmanager
def explain_server(url: str) -> Iterator[None]:
    """Convert errors of the client to one message with a remedy."""
    try:
        yield
    except VsezooError:
        raise
    except Exception as error:  # of httpx, pydantic, and the client's own
        status = getattr(error, "status_code", None)
        remedy = "Start it, for example: docker run -p 6333:6333 qdrant/qdrant, or give its address with --url."
        reason = f"cannot be reached: {first_line(error)}"
        if status in (401, 403):
            reason, remedy = f"refuses the request ({status})", f"Set {KEY} to a key of the server."
        elif status is not None:
            reason, remedy = f"answers {status}: {first_line(error)}", "Look into the log of the server."
        elif "validation error" in str(error):
            reason, remedy = "does not answer as Qdrant does", "Check the address."
        raise ServerError(f"{reason}.", file=url, remedy=remedy) from error


def _read_version(text: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _import_client() -> Any:
    return require_package("qdrant_client", "The index 'qdrant'")


def _name(folder: Path) -> str:
    """Return a name of a collection that other folders, here and on other machines, do not have."""
    place = hashlib.sha256(f"{uuid.getnode()} {folder.resolve()}".encode()).hexdigest()
    return f"{re.sub('[^A-Za-z0-9_-]', '-', folder.name)}-{place[:8]}"


def _remove_older(client: Any, folder: Path, base: str, name: str) -> None:
    """Remove the collections of earlier builds, but not that of the index as it is now."""
    valid = {name}
    with suppress(VsezooError):  # the first build, or a damaged one
        valid.add(read_manifest(folder).state.get("collection", ""))
    for one in client.get_collections().collections:
        if re.fullmatch(rf"{re.escape(base)}-\d+", one.name) and one.name not in valid:
            client.delete_collection(one.name)
