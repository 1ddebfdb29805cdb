"""The page, in a real Chromium. Skipped without playwright or Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from colours import COLOURS, paint
from services import make_engine, serve

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; $CHROMIUM names it"),
]

SHADES = 30
"""Number of blue pictures: more than a page of results."""
MARKUP = "<b>bold</b>.png".replace("/", "\u2215")
VIEWPORT = {"width": 1200, "height": 800}
WAIT = 60_000
"""Milliseconds for what takes a few; a busy machine may need them."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as tool:
        options = ["--no-sandbox", "--headless=new", "--disable-gpu"]
        with tool.chromium.launch(executable_path=CHROMIUM, args=options) as browser:
            yield browser


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a red, a green and many blue pictures."""
    folder = tmp_path_factory.mktemp("page") / "photos"
    paint(folder / "red.png", COLOURS["red"])
    paint(folder / MARKUP, COLOURS["green"])
    for number in range(SHADES):
        paint(folder / "blue" / f"{number:02d}.png", (0, 0, 255 - number))
    return folder


@pytest.fixture(scope="module")
def service(photos: Path) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VSEZOO_CACHE", str(photos.parent / "cache"))
        engine = make_engine(photos.parent / "run", photos)
    with serve(engine) as client:
        yield client


class Watched:
    """A page that notes what it asks for and what goes wrong."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(WAIT)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def count(self, address: str) -> int:
        return sum(address in request for request in self.requests)

    def check(self) -> None:
        """Nothing went wrong in it while its server was there, and it asked no other one."""
        assert [error for error in self.errors if "ERR_CONNECTION_REFUSED" not in error] == []
        foreign = [url for url in self.requests if not url.startswith((self.address, f"blob:{self.address}"))]
        assert foreign == []


Open = Callable[..., Watched]


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Return a function that opens a page in a context of its own, which is checked afterwards."""
    opened: list[tuple[Any, Watched]] = []

    def visit_page(client: httpx.Client, address: str = "", **options: Any) -> Watched:
        context = browser.new_context(**{"viewport": VIEWPORT, "reduced_motion": "reduce", **options})
        watched = Watched(context.new_page(), str(client.base_url))
        opened.append((context, watched))
        watched.page.goto(f"{client.base_url}{address}".replace("//?", "/?"))
        return watched

    yield visit_page
    for context, watched in opened:
        context.close()
        watched.check()


@pytest.fixture(scope="module")
def shared(browser: Any, service: httpx.Client) -> Iterator[Watched]:
    """A page that tests use one after another; the browser has the pictures from the first of them."""
    with browser.new_context(viewport=VIEWPORT, reduced_motion="reduce") as context:
        yield Watched(context.new_page(), str(service.base_url))


@pytest.fixture
def page(shared: Watched) -> Iterator[Any]:
    """Return a page that shows the collection, which is checked afterwards."""
    shared.requests.clear()
    shared.errors.clear()
    shared.page.goto(shared.address)
    expect(shared.page, "#status", "24 of 32 images in photos")
    yield shared.page
    shared.check()


def expect(page: Any, selector: str, text: str) -> None:
    sync_api.expect(page.locator(selector).first).to_have_text(text, timeout=WAIT)


def focused(page: Any) -> str:
    """Return the id of the focused element, else its label."""
    return str(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('aria-label')"))


def wait_focus(page: Any, name: str) -> None:
    page.wait_for_function(
        "name => [document.activeElement.id, document.activeElement.getAttribute('aria-label')].includes(name)",
        arg=name,
    )


def test_type_and_see(page: Any) -> None:
    assert focused(page) == "query"
    page.keyboard.type("red")
    expect(page, "#status", "The 24 best of 32 images")
    expect(page, ".card .name", "red.png")
    expect(page, ".card .score", "1.000")
    assert page.url.endswith("/?q=red")
    assert page.title() == "red – photos"
    page.reload()
    expect(page, ".card .name", "red.png")
    page.keyboard.press("Escape")
    expect(page, "#status", "24 of 32 images in photos")
    assert page.url.endswith("/")


def test_names_are_no_markup(page: Any) -> None:
    page.keyboard.type("green")
    expect(page, ".card .name", MARKUP)
    assert page.locator("#results b").count() == 0


def test_keys_are_collected(visit: Open, service: httpx.Client) -> None:
    watched = visit(service)
    expect(watched.page, "#status", "24 of 32 images in photos")
    watched.page.clock.install()
    watched.page.clock.pause_at("2030-01-01")
    watched.page.keyboard.type("re")
    watched.page.clock.run_for(119)
    watched.page.keyboard.type("d")
    watched.page.clock.run_for(119)
    assert watched.count("/search") == 0
    watched.page.clock.run_for(1)
    expect(watched.page, ".card .name", "red.png")
    assert watched.count("/search") == 1


def test_more_and_less(page: Any) -> None:
    page.keyboard.type("blue")
    expect(page, ".card .name", "blue/00.png")
    page.locator("#minus").fill("blue blue")
    expect(page, ".card .name", MARKUP)  # as good as red.png, and before it
    page.keyboard.press("Enter")
    page.locator("#plus").fill("red")
    expect(page, ".card .name", "red.png")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert focused(page) == "query"
    expect(page, ".card .name", MARKUP)
    assert page.url.endswith("/?q=blue&minus=blue+blue")
    page.get_by_role("button", name="Remove blue blue").press("Delete")
    expect(page, ".card .name", "blue/00.png")
    assert focused(page) == "minus"


def test_more_like_this_and_back(page: Any) -> None:
    page.keyboard.type("red")
    expect(page, ".card .name", "red.png")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    expect(page, "#subject .chip", "red.png")
    assert page.url.endswith("?item=1")
    assert focused(page) == "query"
    page.keyboard.type("green green")
    expect(page, ".card .name", MARKUP)
    page.reload()
    expect(page, "#subject .chip", "red.png")
    page.go_back()
    expect(page, ".card .name", "red.png")
    assert page.locator("#subject .chip").count() == 0
    assert page.url.endswith("?q=red")


def test_a_picture_is_chosen_and_dropped(page: Any, photos: Path) -> None:
    page.locator("#file").set_input_files(photos / "blue" / "03.png")
    expect(page, "#subject .chip", "03.png")
    expect(page, ".card .name", "blue/00.png")
    page.get_by_role("button", name="Remove 03.png").click()
    expect(page, "#status", "24 of 32 images in photos")
    drop = """([bytes, name, type]) => {
        const held = new DataTransfer();
        held.items.add(new File([new Uint8Array(bytes)], name, { type }));
        for (const kind of ["dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: held, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop, [list((photos / "red.png").read_bytes()), "mine.png", "image/png"])
    expect(page, "#subject .chip", "mine.png")
    expect(page, ".card .name", "red.png")
    page.evaluate(drop, [[1, 2], "notes.txt", "text/plain"])
    expect(page, "#problem strong", "notes.txt is not a picture.")


def test_a_picture_that_cannot_be_read(page: Any, shared: Watched, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.locator("#file").set_input_files(tmp_path / "broken.png")
    expect(page, "#problem strong", "The picture is not a picture, or has an unknown format.")
    shared.errors = [error for error in shared.errors if "422" not in error]


def test_the_keyboard_alone(page: Any) -> None:
    page.keyboard.type("blue")
    expect(page, "#status", "The 24 best of 32 images")
    page.keyboard.press("ArrowDown")
    wait_focus(page, "result 1, score 1.000, blue/00.png")
    page.keyboard.press("ArrowRight")
    wait_focus(page, "result 2, score 0.996, blue/01.png")
    page.keyboard.press("ArrowDown")
    columns = page.evaluate(
        "[...document.querySelectorAll('.card')].filter((c, n, all) => c.offsetTop === all[0].offsetTop).length"
    )
    assert focused(page).startswith(f"result {columns + 2}, ")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page, "#viewer-name", "blue/00.png")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    expect(page, "#viewer-name", "blue/01.png")
    page.keyboard.press("Escape")
    wait_focus(page, "result 2, score 0.996, blue/01.png")
    page.keyboard.press("Tab")
    assert focused(page) == "More like blue/01.png"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowUp")
    assert focused(page) == "query"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    wait_focus(page, "result 24, score 0.910, blue/23.png")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("/")
    assert focused(page) == "query"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_a_click_opens_the_picture(page: Any) -> None:
    page.keyboard.type("red")
    expect(page, ".card .name", "red.png")
    page.locator(".card .open").first.click()
    expect(page, "#viewer .score", "result 1, score 1.0000")
    page.wait_for_function("() => document.querySelector('#viewer img').src.includes('/pictures/')")
    assert page.evaluate("document.querySelector('#viewer img').naturalWidth") == 8
    page.get_by_role("button", name="Close").click()
    wait_focus(page, "result 1, score 1.000, red.png")


def test_a_picture_that_was_removed(visit: Open, service: httpx.Client, photos: Path) -> None:
    file = photos / "blue" / "29.png"
    content = file.read_bytes()
    file.unlink()
    watched = visit(service, "?q=blue")
    page = watched.page
    expect(page, "#status", "The 24 best of 32 images")
    page.get_by_role("button", name="Show more").click()
    expect(page, ".card.absent .stand-in", "29.png")
    page.locator(".card.absent .open").first.click()
    expect(page, "#viewer .score", "cannot be shown: the file was removed or changed")
    assert not page.locator("#viewer img").is_visible()
    file.write_bytes(content)
    page.wait_for_load_state("networkidle")
    watched.errors = [error for error in watched.errors if "404" not in error]


def test_show_more(page: Any) -> None:
    page.keyboard.type("blue")
    expect(page, "#status", "The 24 best of 32 images")
    page.get_by_role("button", name="Show more").click()
    expect(page, "#status", "The 32 best of 32 images")
    assert not page.locator("#more").is_visible()
    assert focused(page).startswith("result 25,")


def test_everything_has_a_name(page: Any) -> None:
    page.keyboard.type("blue")
    expect(page, "#status", "The 24 best of 32 images")
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, dialog, img, ol, ul")].filter((one) =>
            !one.hidden && !one.labels?.length && !one.getAttribute("aria-label") && !one.textContent.trim() &&
            !one.getAttribute("aria-labelledby") && one.getAttribute("alt") === null).map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    assert page.get_attribute("#status", "role") == "status"


def test_a_telephone_in_the_dark(visit: Open, service: httpx.Client) -> None:
    phone = {"viewport": {"width": 360, "height": 700}, "color_scheme": "dark", "has_touch": True, "is_mobile": True}
    page = visit(service, "?q=blue", **phone).page
    expect(page, "#status", "The 24 best of 32 images")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 23, 26)"
    page.locator(".card .open").first.click()
    expect(page, "#viewer-name", "blue/00.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_features_without_pictures(visit: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))
    np.save(tmp_path / "test_ims.npy", np.eye(3, dtype=np.float32))
    with serve(make_engine(tmp_path / "run", tmp_path / "test_ims.npy")) as client:
        watched = visit(client, "?q=green")
        page = watched.page
        expect(page, ".card .name", "test_ims.npy:1")
        page.locator(".card .open").first.click()
        expect(page, "#viewer-name", "test_ims.npy:1")
        assert not page.locator("#viewer img").is_visible()
        page.keyboard.press("m")
        expect(page, "#subject .chip", "test_ims.npy:1")
        assert watched.count("/thumbnails/") == watched.count("/pictures/") == 0


def test_words_that_the_model_does_not_know(page: Any) -> None:
    page.keyboard.type("zebra")
    expect(page, "#status.warning", "The model knows none of these words: the results are meaningless.")


def test_a_token_is_asked_for(visit: Open, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(photos.parent / "cache"))
    with serve(make_engine(photos.parent / "run", photos), token="let me in") as client:
        watched = visit(client)
        page = watched.page
        expect(page, "#gate h1", "This collection needs a token")
        wait_focus(page, "token")
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page, "#gate .wrong", "The token is wrong.")
        page.locator("#token").fill("let me in")
        page.keyboard.press("Enter")
        expect(page, "#status", "24 of 32 images in photos")
        page.wait_for_function("() => document.querySelector('.card img').naturalWidth > 0")
        watched.errors = [error for error in watched.errors if "401" not in error]
        other = visit(client, "#token=let+me+in")
        expect(other.page, "#status", "24 of 32 images in photos")
        assert "token" not in other.page.url
        other.page.wait_for_load_state("networkidle")
        page.wait_for_load_state("networkidle")


def test_the_service_has_ended(visit: Open, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(photos.parent / "cache"))
    with serve(make_engine(photos.parent / "run", photos)) as client:
        watched = visit(client)
        expect(watched.page, "#status", "24 of 32 images in photos")
    watched.page.keyboard.type("red")
    expect(watched.page, "#problem strong", "The service does not answer.")
    watched.page.close()  # it may be asking again
    watched.errors.clear()
