"""Options that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# The processes of pytest-xdist share the cores. A thread of OpenMP that waits for its turn spins: the same
# tests of training took five times the CPU time with two threads each. `-n 0` keeps PyTorch's own number.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden from what the code says now"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest tests first: one that begins last is waited for by idle processes."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: the text must be that of tests/golden/NAME; --update-golden writes it there."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"tests/golden/{name} is missing; pytest --update-golden writes it"
        assert text == path.read_text(encoding="utf-8")

    return check
