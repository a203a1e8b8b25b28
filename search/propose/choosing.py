"""Which space, sampler, objectives and pruner a search has: the flags, checked, and the space they mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfcalc
from models.spec import NetSpec
from records.flags import word_of
from records.text import unknown
from search.errors import SearchError
from search.options import Options
from search.propose import space_file
from search.propose.around import AROUND, CLIMBERS, AroundSpace
from search.propose.limits import limits_of
from search.propose.objectives import OBJECTIVES
from search.propose.sampler import SAMPLERS
from search.propose.space import Space, Value, WidthSpace
from search.propose.space_full import FullSpace
from search.pruning import PRUNERS
from search.settings import CPU_MACS, Settings

ALL_SAMPLERS = (*CLIMBERS, *SAMPLERS)
TRADING = ("tpe", "nsga2", "gp", "random")
"""Samplers that know more than one objective."""


@dataclass(frozen=True)
class Choice:
    """What is searched and how, as the flags say; the fields are those of `Settings`."""

    space: str
    fill: bool
    sampler: str
    objectives: tuple[str, ...]
    pruner: str
    max_macs: int | None
    limits: dict[str, int | bool]
    """Of `--limit`, in place of the project's."""
    entries: dict[str, Any]
    """Of the space file, not looked at yet: its dimensions depend on the base network."""
    file: Path | None


def choose(options: Options, device: str) -> Choice:
    """Read the flags that say what is searched.

    Raises:
        SearchError: One is unknown, or does not go with the others.
    """
    space: str | None = options.space
    file: Path | None = options.space_file
    if space is not None and space.endswith(".toml"):
        if file is not None:
            raise SearchError(f"--space {space}: --space-file {file} names another file; give one")
        file, space = Path(space), None
    if space is not None and space not in (spaces := (AROUND, *space_file.SPACES)):
        raise SearchError(f"--space {space}: {unknown(space, spaces)}, or a FILE.toml")
    named, entries = space_file.read(file) if file is not None else (None, {})
    if space is not None and named is not None and named != space:
        raise SearchError(f"--space {space}: the file {file} is for space {named!r}")
    objectives = _objectives(options.objectives)
    if options.sampler is not None and options.sampler not in ALL_SAMPLERS:
        raise SearchError(f"--sampler {options.sampler}: {unknown(options.sampler, ALL_SAMPLERS)}")
    space = space or named or ("widths" if file is not None else _usual_space(options, len(objectives)))
    limits = limits_of(options.limit, objectives)
    small = CPU_MACS if space != "widths" and device == "cpu" and "max_macs" not in limits else None
    if space == AROUND:
        return _around(options, objectives, options.max_macs or small, limits)
    if options.sampler in CLIMBERS:
        raise SearchError(
            f"--sampler {options.sampler}: makes moves around presets, not in --space {space}; leave one out"
        )
    for name in ("start", "generation", "max_step_time"):
        if getattr(options, name) is not None:
            raise SearchError(f"{word_of(Options, name)}: belongs to --sampler climb, not to --space {space}")
    if space == "full" and options.base is not None:
        raise SearchError(
            f"--base {options.base}: belongs to --space widths; --space full has no base network"
        )
    sampler = options.sampler or "tpe"
    pruner = options.pruner or ("halving" if len(objectives) == 1 else "none")
    if pruner not in PRUNERS:
        raise SearchError(f"--pruner {pruner}: {unknown(pruner, PRUNERS)}")
    if len(objectives) > 1 and sampler not in TRADING:
        raise SearchError(
            f"--sampler {sampler}: knows one objective, not {','.join(objectives)}; take {', '.join(TRADING)}"
        )
    if len(objectives) > 1 and pruner != "none":
        raise SearchError(f"--pruner {pruner}: with several objectives nothing is pruned; leave it out")
    return Choice(
        space=space,
        fill=options.fill,
        sampler=sampler,
        objectives=objectives,
        pruner=pruner,
        max_macs=options.max_macs or small,
        limits=limits,
        entries=entries,
        file=file,
    )


def _usual_space(options: Options, objectives: int) -> str:
    """Return the space where none is named: flags of the others choose them."""
    if options.sampler in CLIMBERS:
        return AROUND
    other = options.sampler is not None or options.base is not None or options.pruner is not None
    return "widths" if other or objectives > 1 else AROUND


def _around(
    options: Options, objectives: tuple[str, ...], max_macs: int | None, limits: dict[str, int | bool]
) -> Choice:
    """Return the choice of a search by moves, which decides by paired loss in generations."""
    sampler = options.sampler or "climb"
    if sampler not in CLIMBERS:
        raise SearchError(
            f"--sampler {sampler}: draws values of a space of dimensions; add --space widths or --space full"
        )
    for name, why in (
        ("base", "starts from --start"),
        ("pruner", "ends the worse half of a generation at half"),
    ):
        if getattr(options, name) is not None:
            raise SearchError(f"{word_of(Options, name)} {getattr(options, name)}: --sampler {sampler} {why}")
    if objectives != ("loss",):
        raise SearchError(
            f"--objectives {','.join(objectives)}: --sampler {sampler} goes by validation loss alone; "
            "add --space widths or --space full"
        )
    return Choice(
        space=AROUND, fill=options.fill, sampler=sampler, objectives=objectives, pruner="half",
        max_macs=max_macs, limits=limits, entries={}, file=None,
    )  # fmt: skip


def narrowed(choice: Choice, base: NetSpec) -> dict[str, tuple[Value, ...]]:
    """Return what the space file leaves of the space.

    Raises:
        SearchError: A key or a value that the space does not have.
    """
    if choice.file is None:
        return {}
    # Any limit does: the dimensions depend on whether there is one.
    whole = _space(choice.space, base, 1 if choice.fill else None, {})
    return space_file.narrow(choice.file, choice.entries, whole.choices)


def make_space(settings: Settings, base: NetSpec, budget: rfcalc.Budget) -> Space:
    """Return the space of a search.

    Raises:
        SearchError: Widths are to be filled up, but the budget has no limit of parameters.
    """
    if settings.fill and budget.max_params is None:
        raise SearchError("[tool.rfcalc] has no max-params, so there is nothing to fill up to; add --no-fill")
    limit = budget.max_params if settings.fill else None
    return _space(settings.space, base, limit, settings.narrowed)


def _space(kind: str, base: NetSpec, max_params: int | None, left: dict[str, tuple[Value, ...]]) -> Space:
    if kind == AROUND:
        return AroundSpace(base)
    if kind == "full":
        return FullSpace(base.input_size, base.classes, max_params, left)
    return WidthSpace(base, max_params, left)


def _objectives(text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (text or "loss").split(","))
    for name in names:
        if name not in OBJECTIVES:
            raise SearchError(f"--objectives {text}: {name!r} is {unknown(name, OBJECTIVES)}")
    if len({"loss", "accuracy"} & set(names)) != 1 or len(set(names)) < len(names):
        raise SearchError(f"--objectives {text}: needs loss or accuracy, and each objective once")
    return names
