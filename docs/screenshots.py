"""Take the pictures of the page of `vsezoo serve` in docs/serve.md, of drawings of the data set `shapes`.

    vsezoo train vsepp
    python docs/screenshots.py [--run runs/vsepp-shapes] [--output docs/figures]

Needs playwright and Chromium ($CHROMIUM).
"""

from __future__ import annotations

import argparse
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.shapes.dataset import ShapesDataset
from vsezoo.data.shapes.pictures import draw_scene
from vsezoo.search.index import index_collection
from vsezoo.search.sources import collect_images
from vsezoo.serving import server
from vsezoo.serving.app import create_app
from vsezoo.serving.engine import Engine

SCALE = 8
"""Pixels of a picture for each pixel that a model sees."""
SEARCH = "?q=a+purple+triangle+and+an+orange+circle&minus=red"
SHOTS = {
    "serve-desktop": (SEARCH, {"viewport": {"width": 1280, "height": 860}}),
    "serve-dark": (SEARCH, {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"}),
    "serve-phone": (SEARCH, {"viewport": {"width": 400, "height": 800}, "is_mobile": True, "has_touch": True}),
    "serve-picture": (SEARCH, {"viewport": {"width": 1280, "height": 860}}),
}


class LargeShapes(ShapesDataset):
    """The data set, with larger pictures."""

    def picture(self, index: int) -> Image.Image:
        """Return a picture to look at."""
        return draw_scene(self.scenes[index], SCALE)


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/vsepp-shapes"), help="a model of shapes")
    parser.add_argument("--output", type=Path, default=Path("docs/figures"), help="folder of the pictures")
    options = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with serve(options.run) as address, sync_playwright() as tool:
        flags = ["--no-sandbox", "--headless=new", "--disable-gpu"]
        browser = tool.chromium.launch(executable_path=chromium, args=flags)
        for name, (search, view) in SHOTS.items():
            take(browser, f"{address}{search}", view, options.output / f"{name}.png")
        browser.close()


def take(browser: Any, address: str, view: dict[str, Any], file: Path) -> None:
    """Open a search, wait for its pictures, and write what a browser shows, in few colours."""
    page = browser.new_context(**view).new_page()
    page.goto(address)
    page.wait_for_selector(".card.ranked")
    page.wait_for_load_state("networkidle")
    if "picture" in file.name:
        page.locator(".card .open").nth(0).click()
        page.wait_for_timeout(1000)
    page.screenshot(path=file)
    with Image.open(file) as shot:
        shot.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)


@contextmanager
def serve(run: Path) -> Iterator[str]:
    """Serve the test split of shapes, drawn larger than models see it, and yield the address."""
    checkpoint = Checkpoint.open(run)
    engine = Engine(
        index_collection(checkpoint, "cpu", collect_images(LargeShapes("test", "vector"))), checkpoint, "cpu"
    )
    ready, serving, bound = threading.Event(), server.make_server(create_app(engine)), server.bind("127.0.0.1", 0)
    address = server.name_address(bound)
    thread = threading.Thread(target=server.run, args=(serving, bound, ready.set))
    thread.start()
    ready.wait()
    try:
        yield address
    finally:
        serving.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
