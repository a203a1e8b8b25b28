"""What one call checks: the targets that it names, or the networks that pyproject.toml lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfcalc.analysis.budget import Budget, key_of
from rfcalc.analysis.growth import Growth
from rfcalc.analysis.settings import Settings, find_settings, read_settings
from rfcalc.command.options import Options, parse_arguments
from rfcalc.command.target import Target
from rfcalc.errors import UsageError
from rfcalc.trace.inputs import Input, parse_input

__all__ = ["Check", "checks_from", "checks_of", "with_bases"]


@dataclass(frozen=True)
class Check:
    """One network to check.

    Attributes:
        name: What reports call it.
        text: The target.
        root: Folder that the target is looked for in; None: the current one.
        inputs: What its forward is called with.
        arguments: Keyword arguments of the class or function.
        budget: The limits; None: nothing is judged.
        growth: The limits on growth over `against`.
        source: Where the limits come from, for the verdict.
        against: The base, "" for none.
    """

    name: str
    text: str
    root: Path | None
    inputs: tuple[Input, ...]
    arguments: Mapping[str, Any]
    budget: Budget | None
    growth: Growth
    source: str
    against: str

    def target(self) -> Target:
        """Return the target taken apart.

        Raises:
            LoadError: There is no such file.
        """
        return Target.parse(self.text, self.root)


def checks_of(options: Options) -> list[Check]:
    """Return what the command line asks to check.

    Raises:
        UsageError: A target is named twice, nothing is named or listed, or a limit on growth has no base.
        BudgetError: The file with the limits is no such file.
    """
    if options.targets:
        for text in options.targets:
            if options.targets.count(text) > 1:
                raise UsageError(f"{text} is named twice; name each network once")
        checks = [_named(text, options) for text in options.targets]
    else:
        checks = _listed(options)
    return with_bases(checks)


def with_bases(checks: list[Check]) -> list[Check]:
    """Return the checks.

    Raises:
        UsageError: A limit on growth has no base.
    """
    for check in checks:
        if check.growth.limits() and not check.against:
            limit = key_of(next(iter(check.growth.limits())))
            raise UsageError(
                f"{limit} has no base to compare with: add --against REF (a git ref or a JSON file), "
                'or against = "main" to [tool.rfcalc]'
            )
    return checks


def _named(text: str, options: Options) -> Check:
    target = Target.parse(text)
    settings = None
    if not options.no_budget:
        settings = read_settings(options.budget_file) if options.budget_file else find_settings(target.folder)
    budget, source = _budget(settings.budget if settings else None, _place(settings, options), options)
    growth = settings.growth if settings else Growth()
    return Check(
        text,
        text,
        None,
        options.inputs,
        parse_arguments(options.arguments),
        budget,
        dataclasses.replace(growth, **options.growth),
        source,
        options.against or (settings.against if settings else ""),
    )


def _place(settings: Settings | None, options: Options) -> str:
    return "" if settings is None else str(options.budget_file or settings.path)


def _budget(common: Budget | None, place: str, options: Options) -> tuple[Budget | None, str]:
    """Return the limits and where they are from: those of the command line go before those of the file."""
    if options.no_budget or (common is None and not options.limits and not options.growth):
        return None, ""
    given = bool(options.limits or options.growth)
    source = " and ".join(([place] if common else []) + (["command line"] if given else []))
    return (common or Budget()).with_limits(options.limits), source


def _listed_by(options: Options) -> Settings:
    """Return the settings whose networks a call without a target checks.

    Raises:
        UsageError: There are none.
    """
    settings = read_settings(options.budget_file) if options.budget_file else find_settings(Path.cwd())
    if settings is None or not settings.networks:
        where = f"{settings.path} lists none" if settings else "no pyproject.toml here or above has one"
        raise UsageError(
            f"name a network, such as model.py, or list some under [[tool.rfcalc.network]]: {where} "
            "(python -m rfcalc model.py --init writes such a table)"
        )
    return settings


def _listed(options: Options) -> list[Check]:
    if options.arguments:
        raise UsageError("--arg goes with a target; a listed network has its own: arg = { name = 1 }")
    return checks_from(_listed_by(options), options)


def checks_from(settings: Settings, options: Options) -> list[Check]:
    """Return a check for each network that a file lists."""
    root = settings.path.resolve().parent
    checks = []
    for network in settings.networks:
        budget, source = _budget(network.budget, str(settings.path), options)
        checks.append(
            Check(
                network.name,
                network.target,
                root,
                tuple(map(parse_input, network.inputs)) or options.inputs,
                network.arguments,
                budget,
                Growth() if options.no_budget else dataclasses.replace(network.growth, **options.growth),
                source,
                options.against or settings.against,
            )
        )
    return checks
