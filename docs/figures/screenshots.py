"""Take the screenshots of the documentation: the report of a search, a trial opened in it, the explorer.

    python docs/figures/screenshots.py runs/search/NAME

Each scene as PNG at 1280 and at 390 pixels, light and dark. They hold no photographs: a search on other
images than the built-in shapes is refused, and the explorer shows examples/decoder.py on a plain ground.
Needs Chromium (`chromium` on Debian) and playwright, which the extra `test` installs.
"""

import argparse
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

from records.errors import UserError  # noqa: E402

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZES = ((1280, 800), (390, 844))
"""Windows: width and height in pixels."""
LARGEST = 150_000
"""Bytes of a picture."""


class ScreenshotError(UserError):
    """What keeps the pictures from being taken."""


@dataclass(frozen=True)
class Scene:
    """One thing to show."""

    name: str
    page: str
    """File name of the page."""
    prepare: Callable[["Page"], None]
    """Bring the page to where the picture is taken."""


def _top(page: "Page") -> None:
    """The first screen, as it opens."""


def _opened(page: "Page") -> None:
    """The course of the search, with the most accurate trial opened."""
    page.evaluate("document.querySelector('#trials-table tbody tr').click()")
    _scroll(page, "#history", 72)


def _layers(page: "Page") -> None:
    """The picture with the graph and the table beside it; on a phone, which has them below, these two."""
    _scroll(page, ".explorer" if page.evaluate("innerWidth > 999") else ".layers")


def _scroll(page: "Page", selector: str, above: int = 16) -> None:
    """Scroll an element to the top, below what sticks there: `above` is in pixels."""
    place = f"document.querySelector({selector!r}).getBoundingClientRect().top"
    page.evaluate(f"scrollTo(0, scrollY + {place} - {above})")


SCENES = (
    Scene("report", "report.html", _top),
    Scene("trial", "report.html", _opened),
    Scene("explorer", "rf.html", _layers),
)


def main(arguments: list[str] | None = None) -> int:
    """Take them; return 0, or 2 where that cannot be done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="runs/search/NAME, finished, on the built-in shapes")
    parser.add_argument("--output", type=Path, default=HERE / "pages", metavar="DIR")
    options = parser.parse_args(arguments)

    from rfcalc import RfcalcError

    try:
        with tempfile.TemporaryDirectory() as folder:
            _write_pages(options.folder, Path(folder))
            pictures = dict(_pictures(Path(folder)))
        options.output.mkdir(parents=True, exist_ok=True)
        for name, content in pictures.items():
            (options.output / name).write_bytes(content)
            sys.stdout.write(f"{options.output / name} ({len(content) / 1000:.0f} kB)\n")
    except (UserError, RfcalcError, OSError) as error:
        sys.stderr.write(f"screenshots.py: error: {' '.join(str(error).split())}\n")
        return 2
    return 0


def _write_pages(folder: Path, place: Path) -> None:
    from reports.pages.explorer_page import explorer_page
    from reports.pages.page import write_report
    from reports.runs import open_search

    run = open_search(folder)
    if run.record.dataset.kind != "shapes":
        raise ScreenshotError(
            f"{folder} is a search on {run.record.dataset.title}; the pictures show the built-in shapes alone"
        )
    write_report(run, place / "report.html")
    # The closed form alone: a measured field would differ from machine to machine.
    example = os.path.relpath(ROOT / "examples" / "decoder.py")
    text = explorer_page(example, (3, 32, 32), images=0)
    (place / "rf.html").write_text(text, encoding="utf-8")


def _pictures(place: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each picture."""
    with _chromium() as browser:
        for width, height in SIZES:
            for scheme in ("light", "dark"):
                # The pages forbid foreign scripts; the ones that prepare a scene are let in.
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                    bypass_csp=True,
                )
                page = context.new_page()
                for scene in SCENES:
                    page.goto((place / scene.page).as_uri())
                    scene.prepare(page)
                    name = f"{scene.name}-{width}-{scheme}.png"
                    yield name, _small(page.screenshot(animations="disabled"), name)
                context.close()


@contextmanager
def _chromium() -> "Iterator[Browser]":
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise ScreenshotError(f"no browser: none of {', '.join(PROGRAMS)} is installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise ScreenshotError('playwright is not installed: pip install -e ".[test]"') from None
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--hide-scrollbars"]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


def _small(content: bytes, name: str) -> bytes:
    """Keep a picture in 256 colours, rare ones among them: the areas are flat."""
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        few = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(out, "PNG", optimize=True)
    if out.tell() > LARGEST:
        raise ScreenshotError(f"{name} has {out.tell():,} bytes, more than {LARGEST:,}")
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
