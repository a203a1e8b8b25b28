"""A headless Chromium of the system's, driven by Playwright."""

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Browser:
    """One page of one Chromium. `problems` collects exceptions, console errors and network requests.

    Playwright starts the browser and carries the messages. The page is spoken to in Chromium's own protocol:
    Playwright's `evaluate` compiles text within the page, which the pages' security policy forbids.
    """

    def __init__(self, program: str) -> None:
        from playwright.sync_api import sync_playwright

        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        flags += ["--disable-extensions", "--disable-background-networking"]
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=program, args=flags)
        page = self._chromium.new_page()
        self._session = page.context.new_cdp_session(page)
        self.problems: list[str] = []
        self.blocked: list[str] = []  # why requests never left the page
        for name, judge in (
            ("Runtime.exceptionThrown", self._thrown),
            ("Runtime.consoleAPICalled", self._said),
            ("Log.entryAdded", self._logged),
            ("Network.loadingFailed", self._failed),
            ("Network.requestWillBeSent", self._requested),
        ):
            self._session.on(name, judge)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol and return its result; events are looked at for problems."""
        result: dict[str, Any] = self._session.send(method, parameters)
        return result

    def open(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file from disk and wait until its script has run and its charts are drawn."""
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Page.navigate", url=page.resolve().as_uri())
        for _ in range(200):
            if self.run("document.readyState === 'complete'"):
                break
            time.sleep(0.05)
        self.frame()

    def frame(self) -> None:
        """Wait until what was changed is on the screen."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def run(self, expression: str) -> Any:
        """Evaluate JavaScript in the page and return its value."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Send a mouse event: "mouseMoved", "mousePressed" or "mouseReleased"."""
        held = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)

    def click(self, x: float, y: float) -> None:
        """Move there and press."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def key(self, name: str, text: str | None = None) -> None:
        """Press a key by its name, such as "ArrowRight"."""
        codes = {
            "Enter": 13,
            "Escape": 27,
            "Tab": 9,
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
        }
        code = codes.get(name, 0)
        typed = {"text": text} if text else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **typed
            )
            typed = {}

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Save what the page looks like."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End Chromium."""
        self._chromium.close()
        self._playwright.stop()

    def _thrown(self, event: dict[str, Any]) -> None:
        self.problems.append(json.dumps(event["exceptionDetails"])[:400])

    def _said(self, event: dict[str, Any]) -> None:
        if event["type"] in ("error", "warning", "assert"):
            self.problems.append(f"console.{event['type']}: {event['args']}")

    def _logged(self, event: dict[str, Any]) -> None:
        text = event["entry"]["text"]
        # The exception is advice to a test that reads a canvas twice.
        if event["entry"]["level"] in ("error", "warning") and "willReadFrequently" not in text:
            self.problems.append(text)

    def _failed(self, event: dict[str, Any]) -> None:
        self.blocked.append(event.get("blockedReason", event["errorText"]))

    def _requested(self, event: dict[str, Any]) -> None:
        url = event["request"]["url"]
        if not url.startswith(("file:", "data:", "about:")):
            self.problems.append(f"request to {url}")


def chromium() -> str:
    """Return the path of Chromium; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    return program


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    opened = Browser(chromium())
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Callable[..., Browser]]:
    """Open a file in the browser; afterwards the page must have had no error and asked for nothing."""
    browser.problems.clear()

    def show(path: Path, **settings: Any) -> Browser:
        browser.open(path, **settings)
        return browser

    yield show
    assert browser.problems == []
