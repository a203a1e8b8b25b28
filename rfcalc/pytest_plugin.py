"""`pytest --rfcalc`: a test for each limit of each network that pyproject.toml lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rfcalc.command.gate import Gate


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --rfcalc and --rfcalc-against."""
    group = parser.getgroup("rfcalc", "receptive field, parameters and MACs")
    group.addoption(
        "--rfcalc",
        action="store_true",
        help="test the networks of [[tool.rfcalc.network]], each limit a test",
    )
    group.addoption(
        "--rfcalc-against",
        default="",
        metavar="REF",
        help="the base of the limits on growth: a git ref or a JSON file",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[Any]) -> None:
    """Add the tests where --rfcalc asks for them; which limits there are is known without torch."""
    if not config.getoption("--rfcalc"):
        return
    from rfcalc.command.gate import Gate
    from rfcalc.errors import RfcalcError

    try:
        gate = Gate.opened(config.rootpath, config.getoption("--rfcalc-against"))
    except RfcalcError as error:
        raise pytest.UsageError(f"--rfcalc: {error}") from error
    config.add_cleanup(gate.close)
    for network, limits in gate.names().items():
        for limit in limits:
            name = f"rfcalc::{network}::{limit}"
            items.append(LimitItem.from_parent(session, name=name, gate=gate, network=network, limit=limit))


class LimitItem(pytest.Item):
    """One limit of one network; the network is analysed once, by the first of its tests."""

    def __init__(self, *, gate: Gate, network: str, limit: str, **settings: Any) -> None:
        super().__init__(nodeid=settings["name"], **settings)
        self.gate, self.network, self.limit = gate, network, limit

    def runtest(self) -> None:
        """Fail where the limit is broken or the network cannot be analysed; skip what cannot be judged."""
        problem, skipped = self.gate.judged(self.network, self.limit)
        if skipped:
            pytest.skip(f"not judged: {skipped}")
        if problem:
            raise AssertionError(problem)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the one line that says what is wrong, and no traceback of rfcalc."""
        if excinfo.errisinstance(AssertionError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Name the file that lists the network."""
        return self.gate.path, None, self.name


def pytest_report_header(config: pytest.Config) -> Iterable[str]:
    """Say that the limits are tested."""
    return ["rfcalc: limits of [[tool.rfcalc.network]]"] if config.getoption("--rfcalc") else []
