"""Inject faults into the system calls of commands with strace, repeat the command, and compare with an undisturbed one.

    apt install strace
    python tests/fuzz/inject.py --tries 10

For each command, each fault (SIGKILL, EIO, ENOSPC, ESTALE) and each try, one system call that writes is chosen at
random. The disturbed command must end with one message, by the signal, or well if it could do without. Then the same
command, continued where it can be, must give the files of an undisturbed one and leave nothing else.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "features"))

import numpy as np
import tiny
import torch
from hub_environment import change_environment
from loopback import OWNER, LoopbackHub
from made_pictures import extract
from tqdm import tqdm

import vsezoo
from vsezoo.errors import VsezooError
from vsezoo.features.extractor import FeatureForm
from vsezoo.search.stored.building import build_index
from vsezoo.search.stored.opening import open_folder
from vsezoo.training.resume import is_begun

CALLS = "write,pwrite64,fsync,rename,mkdir,ftruncate,unlink,rmdir,flock"
SOCKETS = "connect,recvfrom"
"""Further calls, of a command that speaks to a server. A call that sends cannot be made to fail alone: the HTTP client
goes on to wait for the answer to what was never sent."""
FAULTS = {"SIGKILL": "signal=SIGKILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "ESTALE": "error=ESTALE"}
LOST = "error=ECONNRESET"
"""In the place of the errors of disks for `SOCKETS`."""
ENDS = {3: "message", -9: "killed", 0: "did without"}
"""How a command may end, by its exit code."""
LEFT = re.compile(r"\.tmp$|\.part$|\.previous$|^unfinished$")
VARYING = re.compile(r"log\.jsonl|events\.out|\.lock")
"""Files with times in them, and locks."""
SHARED = Path(tempfile.gettempdir(), f"vsezoo-inject-{os.getpid()}")


def train(output: Path) -> None:
    """Train for a few steps, or continue."""
    settings = tiny.SETTINGS | {"training.num_epochs": 1}
    begun = is_begun(output)
    data = str(SHARED / "data")
    vsezoo.train("vsepp", data, output=output, settings=settings, device="cpu", save_step=4, resume=begun)


def extract_features(output: Path) -> None:
    """Extract features, or continue."""
    extract(output, form=FeatureForm(batch_size=2), resume=True)


def embed(output: Path) -> None:
    """Write embeddings."""
    output.mkdir(exist_ok=True)
    vsezoo.embed(SHARED / "model", output=output / "rows.npy", texts=["red", "green thing", "blue one"])


def export(output: Path) -> None:
    """Write a checkpoint for another codebase."""
    vsezoo.export(SHARED / "model", "vsepp", output / "model.pth.tar", data="f8k_precomp", overwrite=True)


def index(output: Path) -> None:
    """Build an index folder."""
    build_index(SHARED / "model", output, images=SHARED / "rows.npy")


def push_model(output: Path) -> None:
    """Push a checkpoint to the Hub on the loopback."""
    vsezoo.push(SHARED / "model", REPOSITORY)


TASKS: dict[str, Callable[[Path], None]] = {
    "training": train,
    "extraction": extract_features,
    "embedding": embed,
    "conversion": export,
    "index build": index,
    "push": push_model,
}
PUSH, REPOSITORY = "push", "hub:org/name"


def choose_fault(fault: str, call: str) -> str:
    """Return what strace injects into a call."""
    return LOST if call in SOCKETS.split(",") and fault != "SIGKILL" else FAULTS[fault]


def list_calls(log: Path) -> list[tuple[str, int]]:
    """Return the system calls of a log of strace, each with its number among those of its name."""
    names = [found[1] for line in log.read_text().splitlines() if (found := re.match(r"(?:\d+ +)?(\w+)\(", line))]
    seen = Counter[str]()
    calls = []
    for name in names:
        seen[name] += 1
        calls.append((name, seen[name]))
    return calls


def run(
    task: Callable[[Path], None], output: Path, inject: str = "", log: Path | None = None, call: str = CALLS
) -> tuple[int, str]:
    """Run a task in a process of its own, under strace if something is to be injected; return its code and message."""
    report = SHARED / "report"
    report.unlink(missing_ok=True)
    go = SHARED / "go"
    go.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        code = 4
        try:
            while (inject or log) and not go.exists():
                time.sleep(0.01)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                task(output)
            code = 0
        except VsezooError as error:
            code = 3
            report.write_text(str(error))
        except BaseException as error:
            report.write_text(f"{type(error).__name__}: {error}")
        finally:
            os._exit(code)
    tracer = None
    if inject or log:
        options = ["-e", f"inject={call}:{inject}"] if inject else []
        traced = f"trace={CALLS},{SOCKETS}" if task is push_model else f"trace={CALLS}"
        command = ["strace", "-f", "-o", str(log or os.devnull), "-e", traced, *options, "-p", str(child)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        tracer.stderr.readline()  # "Process … attached"
        go.touch()
    _, status = os.waitpid(child, 0)
    if tracer is not None:
        tracer.communicate()
    return os.waitstatus_to_exitcode(status), report.read_text() if report.exists() else ""


def read(folder: Path) -> dict[str, bytes]:
    """Return the files that must be the same; of an index what it contains, as each build numbers its files."""
    if (folder / "index.json").exists():
        opened = open_folder(folder)
        return {"ids": "\n".join(opened.items.ids).encode(), "rows": opened.rows.vectors.numpy().tobytes()}
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not VARYING.search(file.name)]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.suffix not in (".tar", ".md")}


def read_hub(hub: LoopbackHub) -> dict[str, bytes]:
    """Return the files of the repository that was pushed to."""
    repository = hub.repositories[REPOSITORY.removeprefix("hub:")]
    return {name: repository.read(name) for name in repository.head}


def find_left(*folders: Path) -> list[str]:
    """Return what should not be there."""
    return [str(file) for folder in folders if folder.exists() for file in folder.rglob("*") if LEFT.search(file.name)]


def main() -> int:
    """Inject, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--task", choices=TASKS, action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    dice, failed = random.Random(given.seed), 0
    cache = SHARED / "cache"
    SHARED.mkdir()
    hub = LoopbackHub()
    hub.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that was killed
    tqdm.set_lock(threading.RLock())  # its own is shared with children, and stays locked if one is killed
    client = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(SHARED / "hf"), "HF_TOKEN": OWNER}
    change_environment(client | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"})
    os.environ["VSEZOO_CACHE"] = str(cache)
    try:
        tiny.write_data(SHARED / "data")
        tiny.save_model(SHARED / "model")
        np.save(SHARED / "rows.npy", np.eye(8, tiny.WIDTH, dtype=np.float32))
        print(f"{'command':12}" + "".join(f"{word:>13}" for word in ("calls", "tried", *ENDS.values(), "survived")))
        for name in given.task or TASKS:
            task, whole, log, output = TASKS[name], SHARED / "whole", SHARED / "log", SHARED / "output"
            assert run(task, whole, log=log) == (0, ""), name
            expected, calls = read_hub(hub) if name == PUSH else read(whole), list_calls(log)
            results, survived = Counter[str](), 0
            for fault in [fault for fault in FAULTS for _ in range(given.tries)]:
                shutil.rmtree(cache, ignore_errors=True)
                hub.repositories.clear()
                call, when = dice.choice(calls)
                code, text = run(task, output, f"{choose_fault(fault, call)}:when={when}", call=call)
                result = ENDS.get(code, f"code {code}")
                again, problem = run(task, output)
                left = find_left(output, cache)
                found = {} if again else read_hub(hub) if name == PUSH else read(output)
                sound = again == 0 and found == expected and not left and code in ENDS
                results[result] += 1
                survived += sound
                if not sound:
                    failed += 1
                    told = f"{result} {text!r}; again {again} {problem!r}; left {left}"
                    print(f"{name}, {fault} at {call} {when}: {told}", file=sys.stderr)
                shutil.rmtree(output, ignore_errors=True)
            shutil.rmtree(whole, ignore_errors=True)  # a push writes nothing there
            counts = [len(calls), results.total(), *(results[end] for end in ENDS.values()), survived]
            print(f"{name:12}" + "".join(f"{count:13}" for count in counts), flush=True)
    finally:
        hub.close()
        shutil.rmtree(SHARED, ignore_errors=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
