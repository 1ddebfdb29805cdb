"""A process of a run that is killed ends the others with one message, and the run continues with as many."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

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


def start_ranks(data: Path, output: Path, *more: str) -> list[subprocess.Popen[str]]:
    """Start two ranks, as torch's launcher does."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(find_port()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vsezoo", "train", "vsepp", "--output", str(output), "--device", "cpu", *more]
    if "--resume" not in more:
        command += ["--data", str(data), *tiny.make_flags(training__num_epochs=200), "--save-step", "1"]
    return [
        subprocess.Popen(
            command,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


@pytest.mark.process
@pytest.mark.slow
def test_a_killed_rank(tmp_path: Path) -> None:
    data = tiny.write_data(tmp_path / "data")
    first, second = start_ranks(data, tmp_path / "run")
    while not (tmp_path / "run" / "best").exists() and first.poll() is None:
        time.sleep(0.05)
    second.send_signal(signal.SIGKILL)
    _, message = first.communicate(timeout=120)
    second.communicate()
    assert first.returncode == 1, message
    assert re.search(r"Error: .*run: rank 1 has ended, so rank 0 of 2 cannot continue", message)
    assert "repeat the command with --resume and as many processes" in message
    assert "Traceback" not in message
    state = read_state(tmp_path / "run")
    assert state.run.world_size == 2
    with pytest.raises(
        UsageError, match=r"started with 2 processes, not with 1.*\nContinue .*torchrun --nproc-per-node 2"
    ):
        vsezoo.train("vsepp", output=tmp_path / "run", resume=True, device="cpu")


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
