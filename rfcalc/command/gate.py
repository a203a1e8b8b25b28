"""The listed networks for a test runner: which limits they have, and each judged on demand."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from rfcalc.analysis.budget import key_of
from rfcalc.analysis.settings import find_settings
from rfcalc.command.arguments import Options
from rfcalc.command.checks import Check, checks_from, with_bases
from rfcalc.errors import BudgetError, RfcalcError
from rfcalc.render.limits import limit_sentence
from rfcalc.render.report import Report

__all__ = ["Gate"]


class Gate:
    """The networks that one pyproject.toml lists; analysed when they are first asked about."""

    def __init__(self, path: Path, checks: list[Check]) -> None:
        self.path = path
        self._checks = {check.name: check for check in checks}
        self._reports: dict[str, Report | str] = {}
        self._stack = ExitStack()

    @classmethod
    def opened(cls, folder: Path, against: str = "") -> Gate:
        """Read the pyproject.toml of a folder or of the nearest one above it.

        Raises:
            BudgetError: It lists no networks, or cannot be read.
            UsageError: A limit on growth has no base.
        """
        settings = find_settings(folder)
        if settings is None or not settings.networks:
            raise BudgetError(f"no [[tool.rfcalc.network]] in pyproject.toml of {folder} or above it")
        options = Options((), against=against)
        return cls(settings.path, with_bases(checks_from(settings, options)))

    def names(self) -> dict[str, list[str]]:
        """The limits of each network, as pyproject.toml writes them."""
        found = {}
        for name, check in self._checks.items():
            limits = check.budget.limits() if check.budget else {}
            found[name] = [key_of(limit) for limit in (*limits, *check.growth.limits())]
        return found

    def judged(self, network: str, limit: str) -> tuple[str, str]:
        """Judge one limit.

        Returns:
            What is wrong, "" where it holds; and why it cannot be judged, "" where it can.
        """
        report = self._report(network)
        if isinstance(report, str):
            return report, ""
        found = {key_of(one.name): one for one in report.verdict.limits} if report.verdict else {}
        one = found[limit]
        if one.held is None:
            return "", one.note or "no value"
        return ("" if one.held else f"{network}: {limit_sentence(one)}"), ""

    def close(self) -> None:
        """Remove the worktrees of the bases."""
        self._stack.close()

    def _report(self, network: str) -> Report | str:
        """Analyse a network, once; what went wrong is kept as a sentence."""
        if network not in self._reports:
            from rfcalc.command.base import opened
            from rfcalc.command.inspection import figures_at, inspect

            check, options = self._checks[network], Options(())
            try:
                base = None
                if check.against:
                    folder = check.root or check.target().folder
                    base = self._stack.enter_context(
                        opened(check.against, folder, lambda one, at: figures_at(one, at, options))
                    )
                self._reports[network] = inspect(check.target(), options, check, base)[0]
            except RfcalcError as error:
                self._reports[network] = f"{network}: {error}"
        return self._reports[network]
