"""`vsezoo serve` with 50 clients at once, beside one client, and beside its text encoder alone; and its page.

    python benchmarks/serve.py [--items 8000] [--clients 50] [--queries 20000] [--page-items 100000]
    python benchmarks/serve.py --checkpoint RUN --features ims.npy --sentences caps.txt

Makes features and an untrained model of the usual sizes (GRU of 1,024, 10,000 words) in a temporary folder, or takes
those that are named, and starts `vsezoo serve` on the loopback. One process asks, with one connection per client and no
pause between an answer and the next query. Prints throughput, latencies and their distance from the text encoder's own
time, which is that of a batch of as many sentences as there are clients; and the memory of the service after every
tenth of the queries. With playwright and Chromium ($CHROMIUM), also the time from the last key to the drawn answer in
the page, its pause for further keys (120 ms) included; --page-items 0 leaves that out. Takes some minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from figures import Figure, Report, make_parser
from processes import find_script

WIDTH = 2048
WORDS = 10_000
RUNS = 20
LETTERS = str.maketrans("0123456789", "abcdefghij")
VOCABULARY = [f"w{index}".translate(LETTERS) for index in range(WORDS)]
SENTENCES: list[str] = []
DRAWN = """async (word) => {
    const input = document.querySelector("#query");
    const seen = new Promise((resolve) => new MutationObserver((_, watching) => {
        watching.disconnect();
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now()), 0));
    }).observe(document.querySelector("#results"), { childList: true }));
    input.value = word;
    const start = performance.now();
    input.dispatchEvent(new Event("input", { bubbles: true }));
    return await seen - start;
}"""


class Run(NamedTuple):
    """What clients saw.

    Attributes:
        seconds: of each query.
        wall: of all.
        errors: answers other than 200.
        processor: seconds of the processor that the service took.
    """

    seconds: list[float]
    wall: float
    errors: int
    processor: float

    @property
    def rate(self) -> float:
        """Queries a second."""
        return len(self.seconds) / self.wall


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    parser.add_argument("--items", type=int, default=8000, help="items (default 8,000)")
    parser.add_argument("--clients", type=int, default=50, help="clients at once (default 50)")
    parser.add_argument("--queries", type=int, default=20_000, help="queries of all of them (default 20,000)")
    parser.add_argument("--page-items", type=int, default=100_000, help="items behind the page (default 100,000)")
    parser.add_argument("--checkpoint", type=Path, help="a model of features, instead of an untrained one")
    parser.add_argument("--features", type=Path, help="its images, a .npy file")
    parser.add_argument("--sentences", type=Path, help="queries, one a line")
    options = parser.parse_args()
    if options.sentences:
        SENTENCES.extend(options.sentences.read_text(encoding="utf-8").splitlines())
    with Report(options) as report, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.checkpoint:
            (folder / "run").symlink_to(options.checkpoint.absolute())
            (folder / "test_ims.npy").symlink_to(options.features.absolute())
        else:
            write_model(folder / "run")
            write_features(folder / "test_ims.npy", options.items)
        encoder = time_encoder(report, folder / "run", options.clients)
        report.show(
            f"{'text encoder alone':<26}{encoder[0] * 1e3:8.1f} ms for one, {encoder[1] * 1e3:.1f} ms for a batch",
            Figure("text encoder, one sentence", encoder[0] * 1e3, "ms"),
            Figure("text encoder, batch", encoder[1] * 1e3, "ms"),
        )
        with serve(folder, "test_ims.npy") as (process, port):
            measure(process, port, 1, 50)
            one = measure(process, port, 1, options.queries // 40)
            show(report, "one client", one, encoder[0])
            memory, runs = [read_memory(process)], []
            for _ in range(10):
                runs.append(measure(process, port, options.clients, options.queries // 10))
                memory.append(read_memory(process))
        many = Run(
            [s for run in runs for s in run.seconds],
            *(sum(values) for values in zip(*[run[1:] for run in runs], strict=True)),
        )
        show(report, f"{options.clients} clients", many, encoder[1])
        times = many.rate / one.rate
        report.show(f"{'throughput':<26}{times:8.1f} times that of one client", Figure("rate over one client", times))
        report.show(
            f"{'memory of the service':<26}{' '.join(f'{size:.0f}' for size in memory)} MB",
            *(Figure(f"memory after {tenths}/10", size, "MB") for tenths, size in enumerate(memory)),
        )
        if options.page_items:
            width = np.load(folder / "test_ims.npy", mmap_mode="r").shape[1]
            write_features(folder / "page_ims.npy", options.page_items, width)
            with serve(folder, "page_ims.npy") as (_, port):
                seconds = time_page(port)
            report.show(
                f"{'page, last key to drawn':<26}{statistics.median(seconds):8.0f} ms (median of {RUNS}), "
                f"{max(seconds):.0f} ms at most; {options.page_items:,} items",
                Figure("page, last key to drawn", statistics.median(seconds), "ms"),
                Figure("page, last key to drawn, most", max(seconds), "ms"),
            )


def show(report: Report, label: str, run: Run, encoder: float) -> None:
    """Print a line about what clients saw."""
    p50, p99 = (float(np.percentile(run.seconds, share)) for share in (50, 99))
    beyond = f"beyond the encoder {(p50 - encoder) * 1e3:.1f} and {(p99 - encoder) * 1e3:.1f} ms"
    processor = run.processor / len(run.seconds) * 1e3
    report.show(
        f"{label:<26}{run.rate:8.1f} queries/s; p50 {p50 * 1e3:.1f}, p99 {p99 * 1e3:.1f} ms; {beyond}; "
        f"{processor:.1f} ms of the processor a query; {run.errors} errors of {len(run.seconds):,}",
        Figure(f"{label}, rate", run.rate, "queries/s"),
        Figure(f"{label}, p50", p50 * 1e3, "ms"),
        Figure(f"{label}, p99", p99 * 1e3, "ms"),
        Figure(f"{label}, processor a query", processor, "ms"),
        Figure(f"{label}, errors", run.errors),
    )


def write_model(folder: Path) -> None:
    """Write the checkpoint of an untrained model of features."""
    from vsezoo.checkpoints.checkpoint import save_checkpoint
    from vsezoo.construction import create_model

    data = {"name": "made", "kind": "vector", "image_shape": [WIDTH], "images": 0, "captions": 0}
    settings = {"text_encoder.vocab_threshold": 1, "image_encoder.img_dim": WIDTH}
    model = create_model("vsepp", captions=[" ".join(VOCABULARY)], settings=settings)
    save_checkpoint(folder, model, data, {"epoch": 0, "step": 0, "criterion": "rsum", "score": 0.0})


def write_features(file: Path, count: int, width: int = WIDTH) -> None:
    """Write features of noise, block by block."""
    rng = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(file, "w+", np.float32, (count, width))
    for start in range(0, count, 4096):
        rows[start : start + 4096] = rng.standard_normal((min(4096, count - start), width), np.float32)
    rows.flush()


def make_sentence(rng: random.Random) -> str:
    """Return a sentence of the file, or 8 to 12 words."""
    if SENTENCES:
        return rng.choice(SENTENCES)
    return " ".join(rng.choices(VOCABULARY, k=rng.randint(8, 12)))


def time_encoder(report: Report, run: Path, batch: int) -> tuple[float, float]:
    """Return the median seconds of the text encoder for one sentence, and for a batch; print those of the processor."""
    from vsezoo.checkpoints.opened import Checkpoint

    model, rng = Checkpoint.open(run).text_side(), random.Random(1)
    times: dict[int, list[float]] = {1: [], batch: []}
    taken = dict.fromkeys(times, 0.0)
    for _ in range(RUNS):
        for size, seconds in times.items():
            sentences = [make_sentence(rng) for _ in range(size)]
            start, used = time.perf_counter(), time.process_time()
            model.encode_texts(sentences)
            seconds.append(time.perf_counter() - start)
            taken[size] += time.process_time() - used
    shares = [taken[size] / RUNS / size * 1e3 for size in times]
    report.show(
        f"{'':<26}{shares[0]:8.1f} ms of the processor a sentence, {shares[1]:.1f} ms in a batch",
        Figure("text encoder, processor a sentence", shares[0], "ms"),
        Figure("text encoder, processor a sentence in a batch", shares[1], "ms"),
    )
    return statistics.median(times[1]), statistics.median(times[batch])


@contextmanager
def serve(folder: Path, images: str) -> Iterator[tuple[int, int]]:
    """Run the service; yield its process id and its port."""
    script = find_script()
    command = [script, "serve", "run", "--images", images, "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "VSEZOO_CACHE": str(folder / "cache")}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
        process.terminate()


def measure(process: int, port: int, clients: int, queries: int) -> Run:
    """Ask queries, as many at once as there are clients."""
    before = read_processor(process)
    run = asyncio.run(ask(port, clients, queries))
    return run._replace(processor=read_processor(process) - before)


def read_processor(process: int) -> float:
    """Return the seconds of the processor that a process has taken."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def ask(port: int, clients: int, queries: int) -> Run:
    """Ask queries; see `measure`."""
    start = time.perf_counter()
    seeds = [random.Random(number) for number in range(clients)]
    found = await asyncio.gather(*(ask_one(port, rng, queries // clients) for rng in seeds))
    wall = time.perf_counter() - start
    return Run([s for seconds, _ in found for s in seconds], wall, sum(errors for _, errors in found), 0.0)


async def ask_one(port: int, rng: random.Random, queries: int) -> tuple[Sequence[float], int]:
    """Ask queries one after the other on one connection; return the seconds of each, and the number of errors."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds, errors = [], 0
    for _ in range(queries):
        body = json.dumps({"query": make_sentence(rng), "k": 10}).encode()
        start = time.perf_counter()
        head = (
            f"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        writer.write(f"{head}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        seconds.append(time.perf_counter() - start)
        errors += not answer.startswith(b"HTTP/1.1 200 ")
    writer.close()
    return seconds, errors


def read_memory(process: int) -> float:
    """Return the resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def time_page(port: int) -> list[float]:
    """Return the milliseconds from a last key to the drawn answer."""
    from playwright.sync_api import sync_playwright

    rng = random.Random(2)
    with sync_playwright() as tool:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        flags = ["--no-sandbox", "--headless=new", "--disable-gpu"]
        browser = tool.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector(".card")
        seconds = []
        for _ in range(RUNS):
            page.wait_for_timeout(300)
            seconds.append(float(page.evaluate(DRAWN, make_sentence(rng))))
        browser.close()
    return seconds


if __name__ == "__main__":
    main()
