"""Embed the items of a collection on the machines of a Ray cluster, as a job of Ray Data.

The items are cut into jobs of whole blocks, which actors embed: one on each GPU of the cluster, or without GPUs one on
each CPU. The embeddings come back in order and are those of `embed_items`, since the blocks are the same. What is
stored of them is left to the caller: a job that was killed is started again with the items that are missing.
"""

from __future__ import annotations

import logging
import os
import pickle
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.kinds import require_kind
from vsezoo.errors import DataError, UsageError, VsezooError, require_package
from vsezoo.parts import accepted_kinds
from vsezoo.search.collection import Collection
from vsezoo.search.embedding import BLOCKS, EmbeddedBlock, embed_items

JOB = 4
"""Number of blocks that an actor embeds at a time."""
PURPOSE = "The engine 'ray'"


def embed_on_cluster(
    checkpoint: Checkpoint, collection: Collection, items: Sequence[int], device: str
) -> Iterator[EmbeddedBlock]:
    """Embed these items of a collection, in this order, on the cluster of `$RAY_ADDRESS`, or one on this machine.

    The machines need vsezoo, and the checkpoint and the collection at the same paths as here. An actor that dies is
    replaced, and its job is done again.

    Args:
        checkpoint: the model.
        collection: images or sentences.
        items: indices of items.
        device: "auto": the GPUs of the cluster, or its CPUs if it has none; "cuda"; "cpu".

    Raises:
        MissingPackageError: without Ray.
        UsageError: for another device, or GPUs that the cluster does not have.
        DataError: as `embed_items`, or for a machine that lacks the files.
        VsezooError: when the cluster cannot be reached, or a job fails.
    """
    if not items:
        return
    if not collection.is_text:
        require_kind(collection.name, collection.kind, accepted_kinds(checkpoint.recipe))
    ray, data = require_package("ray", PURPOSE), require_package("ray.data", PURPOSE)
    size = JOB * BLOCKS[collection.kind]
    jobs = [{"items": np.asarray(items[start : start + size]).tobytes()} for start in range(0, len(items), size)]
    with connect(ray), explain_failures(ray):
        form, count = choose_actors(ray.cluster_resources(), device)
        work = Work(checkpoint.reference, checkpoint.digest, form.device, collection, str(Path.cwd()))
        context = data.DataContext.get_current()
        context.enable_progress_bars, context.execution_options.preserve_order = False, True
        embedded = data.from_items(jobs, override_num_blocks=len(jobs)).map_batches(
            Embedder,
            batch_size=1,
            compute=data.ActorPoolStrategy(min_size=1, max_size=min(count, len(jobs))),
            fn_constructor_args=(work,),
            **form.resources,
        )
        for row in embedded.iter_rows():
            answer = pickle.loads(row["answer"])  # written by `Embedder`, on a machine of this job
            if isinstance(answer, VsezooError):
                raise answer
            yield from answer


@dataclass(frozen=True)
class Form:
    """What an actor is: its device, and what Ray reserves for it."""

    device: str
    resources: Mapping[str, int]


def choose_actors(available: Mapping[str, float], device: str) -> tuple[Form, int]:
    """Return what an actor is, and how many there can be.

    Args:
        available: amounts of "GPU" and "CPU" in the cluster.
        device: "auto", "cuda" or "cpu".

    Raises:
        UsageError: for a device that the cluster does not have, or that it does not give out.
    """
    name, gpus = device.partition(":")[0], int(available.get("GPU", 0))
    if name not in ("auto", "cuda", "cpu"):
        raise UsageError(f"{PURPOSE} computes on cuda or cpu, not on {device!r}.", remedy="Try --device auto.")
    if name == "cuda" and not gpus:
        raise UsageError("The Ray cluster has no GPU.", remedy="Use --device cpu, or a cluster with GPUs.")
    if name != "cpu" and gpus:
        return Form("cuda", {"num_gpus": 1}), gpus
    return Form("cpu", {"num_cpus": 1}), max(1, int(available.get("CPU", 1)))


@dataclass(frozen=True)
class Work:
    """What an actor needs to know; sent to it once.

    Attributes:
        reference: the checkpoint.
        digest: its digest: a machine may have another one at this path.
        device: device of the model.
        collection: images or sentences; features and pictures are read by the actor.
        folder: the folder that relative paths are relative to.
    """

    reference: str
    digest: str
    device: str
    collection: Collection
    folder: str


class Embedder:
    """An actor of the job. Errors of the user are answers, since Ray wraps exceptions and replaces the actor."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, batch: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
        """Embed the items of each job; return the pickled blocks, or the error."""
        return {"answer": [pickle.dumps(self._answer(job)) for job in batch["items"]]}

    def _answer(self, job: bytes) -> list[EmbeddedBlock] | VsezooError:
        try:
            checkpoint, collection = self._checkpoint, self._work.collection
            side = checkpoint.text_side if collection.is_text else checkpoint.model
            items = np.frombuffer(job, np.int64).tolist()
            return list(embed_items(lambda: side(self._work.device), collection, items))
        except VsezooError as error:
            return error

    @cached_property
    def _checkpoint(self) -> Checkpoint:
        """The checkpoint, after checking that this machine has the same files."""
        folder, place = Path(self._work.folder), self._work.collection.place
        for path in (folder, Path(place or folder)):
            if not path.exists():
                raise DataError(
                    f"does not exist on {platform.node()}, a machine of the Ray cluster.",
                    file=path,
                    remedy="Put it on storage that all machines have at the same path.",
                )
        os.chdir(folder)
        checkpoint = Checkpoint.open(self._work.reference)
        if checkpoint.digest != self._work.digest:
            raise DataError(
                f"is another checkpoint on {platform.node()}, a machine of the Ray cluster.",
                file=self._work.reference,
                remedy="Put the checkpoint on storage that all machines have at the same path.",
            )
        return checkpoint


@contextmanager
def connect(ray: Any) -> Iterator[None]:
    """Connect to the cluster, unless the program has, and disconnect at the end; a cluster started here ends then.

    Raises:
        VsezooError: for a cluster that cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its "E" lines on standard error are not errors of the job
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS")
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **({} if address else {"include_dashboard": False}))
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        remedy = (
            "Check RAY_ADDRESS, or unset it to use this machine." if address else "See the logs of Ray in /tmp/ray."
        )
        raise VsezooError(
            f"The Ray cluster {address or 'of this machine'} cannot be used: {reason}.", remedy=remedy
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def explain_failures(ray: Any) -> Iterator[None]:
    """Convert errors of Ray to one message with a remedy."""
    try:
        yield
    except ray.exceptions.RayError as error:
        reason = next((line for line in str(error).splitlines()[::-1] if line.strip()), type(error).__name__)
        raise VsezooError(
            f"The Ray job failed: {reason.strip().rstrip('.')}.",
            remedy="What was embedded before is kept: run the command again. The logs of Ray are in /tmp/ray.",
        ) from error
