"""How large the explorer's page is, how long it takes to write, and how fast it answers, in a real browser.

    python -m benchmarks.explorer_speed                   ResNet-50 at 3x224x224
    python -m benchmarks.explorer_speed TARGET@CxHxW ...  others, as python -m reports rf takes them

A hover is measured in the page: from the pointer's event on a layer's row until the drawing is done (script),
and until the browser has shown the next frame (frame; at 60 Hz a frame alone takes up to 17 ms). Every layer
is hovered over once. It needs chromium, as tests/reports/browser does, whose driver it borrows.
"""

import argparse
import importlib.util
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent

HOVER = """(async () => {
    const found = [];
    for (const row of rows) {
        const start = performance.now();
        row.dispatchEvent(new PointerEvent('pointerenter', {pointerType: 'mouse'}));
        const script = performance.now() - start;
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        found.push([script, performance.now() - start]);
    }
    return found;
})()"""


def main() -> int:
    """Print a row a network; return 0, or 2 without a browser."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=["torchvision.models:resnet50@3x224x224"])
    parser.add_argument("--erf-images", type=int, metavar="N", help="as python -m reports rf takes it")
    options = parser.parse_args()
    driver = _driver()
    program = next(filter(None, map(shutil.which, driver.NAMES)), None)
    if program is None:
        sys.stderr.write(f"no browser: none of {', '.join(driver.NAMES)} is installed\n")
        return 2
    table = Table("network", "layers", "CPU s", "kB", "script", "largest", "frame", "largest", "n")
    table.title = "A hover in ms, median and largest; CPU seconds to write the page, and its size"
    table.columns[0].overflow = "fold"
    with tempfile.TemporaryDirectory() as folder:
        browser = driver.Browser(program)
        try:
            for target in options.targets:
                table.add_row(*_measure(browser, target, options.erf_images, Path(folder) / "rf.html"))
        finally:
            browser.close()
        Console().print(table)
    return 0


def _measure(browser: Any, target: str, images: int | None, path: Path) -> list[str]:
    from reports.pages.explorer_page import explorer_page

    start = time.process_time()
    path.write_text(explorer_page(target, images=images), encoding="utf-8")
    seconds = time.process_time() - start
    browser.open(path)
    browser.run(HOVER)  # the first round compiles the script
    script, frame = zip(*browser.run(HOVER), strict=True)
    shown = [f"{value:.1f}" for times in (script, frame) for value in (_median(times), max(times))]
    size = f"{path.stat().st_size / 1000:.0f}"
    return [target, str(browser.run("data.lines.length")), f"{seconds:.1f}", size, *shown, str(len(script))]


def _median(times: tuple[float, ...]) -> float:
    return sorted(times)[len(times) // 2]


def _driver() -> ModuleType:
    place = ROOT / "tests" / "reports" / "browser" / "conftest.py"
    spec = importlib.util.spec_from_file_location("browser_driver", place)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{place} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
