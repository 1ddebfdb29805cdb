"""Attack every reader many times, and print what came of it.

    python tests/fuzz/run.py --mutants 1000

Each attack has a limit of 60 s. The exit code is 1 if one ended with a traceback, hung, or changed what a file says
without being noticed.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from types import FrameType

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzz.attack import Outcome, attack
from fuzz.readers import READERS

LIMIT = 60  # seconds
RESULTS = ("refused", "same", "altered", "traceback", "hung")


class TooSlow(BaseException):
    """An attack that did not end in time."""


def stop(number: int, frame: FrameType | None) -> None:
    """End an attack."""
    raise TooSlow


def main() -> int:
    """Attack, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, action="append")
    given = parser.parse_args()
    signal.signal(signal.SIGALRM, stop)
    failed, names = 0, given.reader or list(READERS)
    print(f"{'reader':12}" + "".join(f"{word:>11}" for word in ("mutants", *RESULTS, "slowest")))
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            reader, original = READERS[name], Path(folder, "original", name)
            reader.make(original)
            expected, results, slowest = reader.read(original), Counter[str](), 0.0
            for index in range(-(-given.mutants // len(names))):
                begun, random = time.perf_counter(), Random(f"{given.seed} {name} {index}")
                signal.alarm(LIMIT)
                try:
                    outcome = attack(reader, original, expected, Path(folder, "target", name), random)
                except TooSlow:
                    outcome = Outcome(name, "", "hung")
                finally:
                    signal.alarm(0)
                unnoticed = outcome.result == "altered" and outcome.kind == "bytes" and reader.covered
                if outcome.result in ("traceback", "hung") or unnoticed:
                    failed += 1
                    print(f"{name} {index}: {outcome}", file=sys.stderr)
                results[outcome.result] += 1
                slowest = max(slowest, time.perf_counter() - begun)
            counts = "".join(f"{results[key]:11}" for key in RESULTS)
            print(f"{name:12}{results.total():11}{counts}{slowest:10.2f}s", flush=True)
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:,} MiB")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
