"""A process of a run that is killed ends the others with one message, and the run continues with as many."""

from __future__ import annotations

import functools
import os
import signal
import socket
import time
from pathlib import Path

import processes
import pytest
import tiny

import vsezoo
from vsezoo.errors import TrainingError, UsageError
from vsezoo.training.batches import PairBatches, TokenTable
from vsezoo.training.peers import find_ended
from vsezoo.training.state import read_state


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
        return port


def be_rank(rank: int, port: int) -> None:
    """Be one of two ranks, as torch's launcher starts them."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ |= shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}


@pytest.mark.process
@pytest.mark.slow
def test_a_killed_rank(tmp_path: Path) -> None:
    data, run, port = tiny.write_data(tmp_path / "data"), tmp_path / "run", find_port()
    command = ["train", "vsepp", "--output", run, "--device", "cpu", "--data", data, "--save-step", "1"]
    command += tiny.make_flags(training__num_epochs=200)
    places = [tmp_path / "first", tmp_path / "second"]
    first, second = (
        processes.start_command(place, *command, before=functools.partial(be_rank, rank, port))
        for rank, place in enumerate(places)
    )
    processes.wait_until(first, (run / "best").exists)
    second.kill()
    done = processes.read_command(places[0], first)
    second.join()
    processes.assert_one_message(done, 1, r"^.*run: rank 1 has ended, so rank 0 of 2 cannot continue")
    assert "repeat the command with --resume and as many processes" in done.stderr
    state = read_state(run)
    assert state.run.world_size == 2
    with pytest.raises(
        UsageError, match=r"started with 2 processes, not with 1.*\nContinue .*torchrun --nproc-per-node 2"
    ):
        vsezoo.train("vsepp", output=run, resume=True, device="cpu")


@pytest.mark.process
def test_a_killed_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny.TinyPairs()
    batches = PairBatches(
        data, TokenTable([data.image_of[:1]] * len(data.captions)), KillWorker(), [data.image_of[:2]] * 3
    )
    with pytest.raises(TrainingError, match=r"a data loader worker was killed.*\nContinue with --resume"):
        list(batches.load(1))


def test_which_process_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that its parent has not waited for; of those on other machines nothing is known."""
    child = os.fork()
    if not child:
        os._exit(0)
    while Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        time.sleep(0.001)
    here = socket.gethostname()
    ranks = [(here, os.getpid()), (here, child), ("another", child)]
    assert find_ended(ranks) == [1]
    os.waitpid(child, 0)
    assert find_ended(ranks) == [1]


class KillWorker:
    """A transform that kills the process that it runs in."""

    def __call__(self, images: object) -> object:
        os.kill(os.getpid(), signal.SIGKILL)
        return images
