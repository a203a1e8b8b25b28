"""The page in a headless Chromium: dropped pictures, the camera, a phone, the dark, the keyboard."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from serve.app import create_app
from serve.model import load
from serve.service import Service, Settings
from tests.reports.browser.conftest import Browser, chromium
from tests.serve.conftest import make_run, picture

NAME = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service on loopback in this process; a class and its network have hostile names."""
    folder = make_run(tmp_path_factory.mktemp("runs") / "pets", classes=("cat", NAME))
    service = Service(load(folder), lambda: load(folder), Settings())
    server = uvicorn.Server(
        uvicorn.Config(create_app(service), port=0, log_level="error", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


class Page(Browser):
    """A browser whose requests to the service are no problem; all others are."""

    address = ""

    def _requested(self, event: dict[str, Any]) -> None:
        if not event["request"]["url"].startswith((self.address + "/", "blob:")):
            super()._requested(event)

    def visit(self, path: str = "/", width: int = 1280, dark: bool = False) -> None:
        """Open a page of the service."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Page.navigate", url=self.address + path)
        if path == "/":
            self.until("document.getElementById('about')?.textContent.includes('cat')")
        else:
            self.until("document.readyState === 'complete'")

    def until(self, expression: str) -> None:
        """Wait until JavaScript is true."""
        for _ in range(600):
            try:
                if self.run(expression):
                    return
            except RuntimeError:  # the page is on its way
                pass
            time.sleep(0.05)
        raise AssertionError(f"never: {expression}; {self.run('document.body.innerText')}")

    def hand_over(self, count: int, how: str) -> None:
        """Drop or paste pictures, as the browser's own events bring them."""
        texts = [base64.b64encode(picture(seed=seed)).decode() for seed in range(count)]
        self.run(
            f"""(() => {{
            const transfer = new DataTransfer();
            {texts!r}.forEach((text, index) => transfer.items.add(new File(
                [Uint8Array.from(atob(text), (each) => each.charCodeAt(0))], `picture ${{index}}.png`,
                {{type: 'image/png'}})));
            const about = {{dataTransfer: transfer, clipboardData: transfer, cancelable: true}};
            const Kind = '{how}' === 'drop' ? DragEvent : ClipboardEvent;
            document.dispatchEvent(new Kind('{how}', about));
        }})()"""
        )

    def answered(self, count: int) -> None:
        """Wait for as many answers."""
        self.until(f"document.querySelectorAll('#results .bars').length === {count}")


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Page]:
    opened = Page(chromium())
    opened.address = address
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Page) -> Iterator[Callable[..., Page]]:
    browser.problems.clear()

    def show(*words: Any, **settings: Any) -> Page:
        browser.visit(*words, **settings)
        return browser

    yield show
    assert browser.problems == []


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_several_pictures_are_answered_with_bars(page: Callable[..., Page], how: str) -> None:
    browser = page()
    browser.hand_over(3, how)
    browser.answered(3)
    assert browser.run("document.querySelectorAll('#results img').length") == 3
    assert browser.run("document.querySelectorAll('#results li:first-child dt').length") == 2
    shares = browser.run(
        "[...document.querySelectorAll('#results li:first-child dd:not(.track)')]"
        ".map((each) => parseFloat(each.innerText))"
    )
    assert sum(shares) == pytest.approx(100, abs=0.2)
    widths = browser.run(
        "[...document.querySelectorAll('#results li:first-child .track')].map((e) =>"
        " 100 * e.firstChild.getBoundingClientRect().width / (e.getBoundingClientRect().width - 2))"
    )
    assert widths == pytest.approx(shares, abs=1)


def test_names_of_classes_are_text(page: Callable[..., Page]) -> None:
    browser = page()
    browser.hand_over(1, "drop")
    browser.answered(1)
    assert NAME in browser.run("document.body.innerText")
    assert browser.run("document.querySelectorAll('img[src=\"x\"]').length") == 0


def test_where_it_looked_is_drawn(page: Callable[..., Page]) -> None:
    browser = page()
    browser.hand_over(1, "drop")
    browser.answered(1)
    browser.run("document.querySelector('#results button').click()")
    browser.until("document.querySelector('#results canvas') !== null")
    assert browser.run("document.querySelector('#results canvas').width") == 320
    assert "61x61" in browser.run("document.querySelector('#results').innerText")


def test_a_file_that_is_no_picture_is_said(page: Callable[..., Page]) -> None:
    browser = page()
    browser.run(
        """(() => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(['hello'], 'a.png', {type: 'image/png'}));
        document.dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, cancelable: true}));
    })()"""
    )
    browser.until("document.querySelector('#results .wrong') !== null")
    assert "JPEG" in browser.run("document.getElementById('message').textContent")
    # Chromium itself writes the failed request and the broken preview into its console.
    assert all("415" in each for each in browser.problems)
    browser.problems.clear()


def test_a_camera_that_is_refused_is_said(page: Callable[..., Page]) -> None:
    browser = page()
    browser.run("document.getElementById('camera').click()")
    browser.until("document.getElementById('message').textContent.includes('choose a picture instead')")
    assert browser.run("document.getElementById('viewfinder').hidden")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_phone_shows_all_of_it(page: Callable[..., Page], path: str, dark: bool, tmp_path: Path) -> None:
    browser = page(path, width=390, dark=dark)
    if path == "/":
        browser.hand_over(1, "drop")
        browser.answered(1)
    assert browser.run("document.documentElement.scrollWidth") <= 390
    ink, paper = (
        browser.run(f"getComputedStyle(document.body).{name}.match(/\\d+/g).slice(0, 3).map(Number)")
        for name in ("color", "backgroundColor")
    )
    assert (sum(paper) < sum(ink)) is dark
    assert abs(sum(paper) - sum(ink)) > 300
    browser.screenshot(tmp_path / "page.png")


def test_the_keyboard_reaches_everything(page: Callable[..., Page]) -> None:
    browser = page()
    browser.hand_over(1, "drop")
    browser.answered(1)
    reached = []
    for _ in range(8):
        browser.key("Tab")
        reached.append(browser.run("document.activeElement.id || document.activeElement.textContent"))
    for each in ("choose", "camera", "url", "Fetch", "Where did it look?", "The API"):
        assert each in reached
