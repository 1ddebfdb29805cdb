"""Kill one of two processes of a run at random moments, resume it, and compare the result with an uninterrupted run.

    python tests/fuzz/kill_ranks.py --kills 10

Prints what the other process says, whether one process alone is refused, and whether the resumed run ends with the
same bits.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

sys.path.insert(0, str(Path(__file__).parent.parent))

import tiny

STEPS = 57
"""The last step before which a process is killed; the run has 60."""
FILES = ("best/model.safetensors", "best/vocab.json", "best/metrics.json", "last/state.safetensors")


LIMIT = 600.0
"""Seconds that the processes of a run may take; then they say where they are."""


@dataclass(frozen=True)
class Rank:
    """A process of a run, with the file of what it says: a pipe that nobody reads would stop it."""

    process: subprocess.Popen[bytes]
    said: IO[str]

    def read(self) -> list[str]:
        """Return the lines that it has said."""
        self.said.seek(0)
        return self.said.read().strip().splitlines()


def start(output: Path, ranks: int, *more: str) -> list[Rank]:
    """Start the processes of a run, as torch's launcher does."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vsezoo", "train", "vsepp", "--output", str(output), "--device", "cpu", *more]
    shared = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    started = []
    for rank in range(ranks):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONFAULTHANDLER": "1"}
        said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (it lives as long as its process)
        process = subprocess.Popen(command, env=os.environ | shared | own, stdout=subprocess.DEVNULL, stderr=said)
        started.append(Rank(process, said))
    return started


def finish(ranks: list[Rank]) -> list[str]:
    """Wait for processes, and return their last lines with their exit codes.

    Raises:
        TimeoutError: with the stacks of those that have not ended in time.
    """
    end = time.monotonic() + LIMIT
    try:
        for rank in ranks:
            rank.process.wait(end - time.monotonic())
    except subprocess.TimeoutExpired:
        for rank in ranks:
            rank.process.send_signal(signal.SIGABRT)  # the fault handler prints where it is
            rank.process.wait()
        said = "\n\n".join(f"{rank.process.returncode}: " + "\n".join(rank.read()) for rank in ranks)
        raise TimeoutError(f"Not ended after {LIMIT:g} s:\n{said}") from None
    return [f"{rank.process.returncode}: {rank.read()[-2:]}" for rank in ranks]


def wait_for(output: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the saved state is of a step, or the run ends."""
    while process.poll() is None:
        try:
            if json.loads((output / "last" / "state.json").read_bytes())["place"]["step"] >= step:
                return
        except (OSError, ValueError):  # not there yet, or being replaced
            pass
        time.sleep(0.01)


def main() -> int:
    """Kill, resume and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dice, failed = random.Random(given.seed), 0
    with tempfile.TemporaryDirectory() as temporary:
        data = tiny.write_data(Path(temporary, "data"))
        new = ["--data", str(data), *tiny.make_flags(training__num_epochs=6), "--save-step", "3"]
        finish(start(Path(temporary, "whole"), 2, *new))
        expected = [Path(temporary, "whole", name).read_bytes() for name in FILES]
        for number in range(given.kills):
            output, killed = Path(temporary, "run"), dice.randrange(2)
            shutil.rmtree(output, ignore_errors=True)
            processes = start(output, 2, *new)
            wait_for(output, dice.randrange(STEPS), processes[0].process)
            time.sleep(dice.uniform(0, 0.2))
            processes[killed].process.send_signal(signal.SIGKILL)
            began = time.monotonic()
            said = finish(processes)[1 - killed]
            noticed = time.monotonic() - began
            saved = (output / "last" / "state.json").exists()
            more = ["--resume"] if saved else ["--resume", *new] if output.exists() else new
            alone = finish(start(output, 1, *more))[0] if saved else "not tried: nothing was saved"
            began = time.monotonic()
            finish(start(output, 2, *more))
            resumed = time.monotonic() - began
            same = [(output / name).read_bytes() for name in FILES] == expected
            failed += not same or (saved and not alone.startswith(("2:", "0:")))
            print(f"{number}: rank {killed} killed, state {saved}, equal bits {same}")
            print(f"   the other ended after {noticed:.1f} s, the resumed run after {resumed:.0f} s")
            print(f"   other: {said}\n   alone: {alone}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
