"""The settings of a search that is gone on with: the stored ones, but for what may change."""

from dataclasses import replace

from records.flags import word_of
from records.search import SearchRecord
from search.errors import SearchError
from search.keep.storage import hidden, needs_password
from search.options import Options
from search.propose.limits import limits_of
from search.propose.rivals import names_of
from search.session.reach import moves, placement, usual_jobs
from search.settings import STAGES, Settings
from training.fit import device

_KEPT = (
    *("data", "resize", "base", "recipe", "seed", "storage", *STAGES),
    *("space", "fill", "sampler", "objectives", "pruner", "max_macs", "presets", "start", "limit"),
    *("generation", "max_step_time", "threads", "winner_time"),
)
"""What a resumed search cannot change."""
_NAMED = {"start": "presets", "max_step_time": "step_limit", "limit": "limits"}
"""Flags whose setting has another name."""


def resumed(previous: SearchRecord, options: Options) -> Settings:
    """Return the stored settings; trials may be raised, and how it runs may change, nothing else."""
    settings = Settings.from_json(previous.settings, "search.json, settings")
    if options.space_file is not None or (options.space or "").endswith(".toml"):
        raise SearchError(
            f"--space-file: the space of {previous.name!r} is kept as it was; leave the flag out, "
            "or choose another --name"
        )
    for name in _KEPT:
        asked = getattr(options, name)
        if name == "fill" and asked:
            continue  # --no-fill was not given
        if name == "limit":
            asked = limits_of(asked, settings.objectives) if asked else None
        if name in ("objectives", "presets", "start") and asked is not None:
            asked = names_of(asked)
        if name == "storage" and asked is not None:
            asked = hidden(asked)
        kept = getattr(settings, _NAMED.get(name, name))
        if asked is not None and asked != kept:
            given = word_of(Options, name) + ("" if name == "fill" else f" {asked}")
            raise SearchError(
                f"{given}: the search {previous.name!r} was started with {kept}; "
                "leave the flag out, or choose another --name"
            )
    if options.device not in (None, "auto", settings.device):
        raise SearchError(
            f"--device {options.device}: the search {previous.name!r} runs on {settings.device}"
        )
    device.resolve(settings.device)
    if settings.storage is not None and needs_password(settings.storage) and options.storage is None:
        raise SearchError("--storage: give the URL again, its password is not kept in search.json")
    if options.trials is not None and options.trials < settings.trials:
        raise SearchError(
            f"--trials {options.trials}: the search {previous.name!r} has {settings.trials}; raise it"
        )
    place = placement(options, settings.device, settings.threads, settings)
    jobs = settings.jobs
    if moves(options, settings):  # the number for a cluster is none for this machine
        jobs = usual_jobs(settings.space, settings.device, settings.generation, place["executor"])
    return replace(
        settings,
        trials=options.trials or settings.trials,
        jobs=options.jobs or jobs,
        time_limit=options.time_limit or settings.time_limit,
        cache=str(options.cache or settings.cache),
        storage=options.storage or settings.storage,
        **place,
        storage_wait=settings.storage_wait if options.storage_wait is None else options.storage_wait,
    )
