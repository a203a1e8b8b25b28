"""Flags that say what is searched, and the objectives and time limit that they mean."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rfcalc
from models.flash import flash
from models.presets import PRESETS
from records.trial import TrialRecord
from search.errors import SearchError
from search.options import parse_search as parse
from search.propose.choosing import choose, make_space, narrowed
from search.propose.limits import limited
from search.propose.objectives import front, reached
from search.propose.space import WidthSpace
from search.propose.space_full import FullSpace
from search.settings import CPU_MACS, Settings


def _record(
    number: int, score: float | None, macs: int = 1, state: str = "complete", **more: Any
) -> TrialRecord:
    return TrialRecord(
        number, 1, state, {}, {}, 0, {}, params=10, macs=macs, receptive_field=53, margins={}, score=score,
        seconds=more.get("seconds", 1.0), epochs=more.get("epochs", ()),
    )  # fmt: skip


def test_the_defaults_climb_from_the_presets() -> None:
    choice = choose(parse([]), "cpu")
    assert (choice.space, choice.fill, choice.sampler) == ("around", True, "climb")
    assert (choice.objectives, choice.pruner, choice.max_macs) == (("loss",), "half", CPU_MACS)
    assert choose(parse(["--limit", "max-macs=40M"]), "cpu").max_macs is None
    assert choose(parse([]), "cuda").max_macs is None
    assert choose(parse(["--sampler", "random-moves"]), "cpu").space == "around"


@pytest.mark.parametrize(
    "flags", [["--space", "widths"], ["--sampler", "tpe"], ["--base", "tiny"], ["--pruner", "halving"]]
)
def test_widths_are_searched_with_tpe_by_loss(flags: list[str]) -> None:
    choice = choose(parse(flags), "cpu")
    assert (choice.space, choice.fill, choice.sampler) == ("widths", True, "tpe")
    assert (choice.objectives, choice.pruner, choice.max_macs) == (("loss",), "halving", None)


def test_the_whole_grammar_is_kept_cheap_on_a_cpu_alone() -> None:
    flags = ["--space", "full"]
    assert choose(parse(flags), "cpu").max_macs == CPU_MACS
    assert choose(parse(flags), "cuda").max_macs is None
    assert choose(parse([*flags, "--max-macs", "20M"]), "cpu").max_macs == 20_000_000


def test_several_objectives_are_not_pruned() -> None:
    choice = choose(parse(["--objectives", "accuracy,macs", "--sampler", "nsga2"]), "cpu")
    assert (choice.objectives, choice.pruner) == (("accuracy", "macs"), "none")


def test_flash_as_an_objective_asks_for_an_int8_form() -> None:
    choice = choose(parse(["--objectives", "accuracy,flash", "--limit", "max-macs=12M"]), "cpu")
    assert (choice.objectives, choice.limits) == (
        ("accuracy", "flash"),
        {"max_macs": 12_000_000, "int8": True},
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--sampler", "tpi"],
            r"--sampler tpi: unknown; did you mean tpe\? choose one of climb, random-moves, tpe",
        ),
        (
            ["--space", "ful"],
            r"--space ful: unknown; did you mean full\? choose one of around, widths, full, or a",
        ),
        (["--objectives", "accuracy,mac"], r"'mac' is unknown; did you mean macs\?"),
        (["--objectives", "macs"], "--objectives macs: needs loss or accuracy, and each objective once"),
        (["--pruner", "halvin"], r"--pruner halvin: unknown; did you mean halving\?"),
        (
            ["--objectives", "accuracy,macs", "--pruner", "median"],
            "with several objectives nothing is pruned",
        ),
        (
            ["--objectives", "accuracy,macs", "--sampler", "evolution"],
            "knows one objective, not accuracy,macs",
        ),
        (["--space", "around", "--base", "tiny"], "--base tiny: --sampler climb starts from --start"),
        (["--space", "around", "--sampler", "tpe"], "draws values of a space of dimensions; add --space"),
        (["--space", "full", "--sampler", "climb"], "makes moves around presets, not in --space full"),
        (["--sampler", "climb", "--pruner", "median"], "ends the worse half of a generation at half"),
        (["--sampler", "climb", "--objectives", "loss,macs"], "goes by validation loss alone"),
        (["--sampler", "tpe", "--generation", "4"], "--generation: belongs to --sampler climb"),
        (["--limit", "max-mac=1M"], r"'max-mac' is unknown; did you mean max-macs\?"),
        (["--space", "full", "--base", "tiny"], "--base tiny: belongs to --space widths"),
    ],
)
def test_what_does_not_go_is_one_line(flags: list[str], message: str) -> None:
    with pytest.raises(SearchError, match=message) as caught:
        choose(parse(flags), "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flags", [["--time-limit", "soon"], ["--time-limit", "0m"], ["--max-macs", "1.5"]])
def test_times_and_numbers_that_are_none_are_refused(flags: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parse(flags)
    assert f"argument {flags[0]}: expected a" in capsys.readouterr().err


def test_times_are_seconds() -> None:
    assert parse(["--time-limit", "1h30m"]).time_limit == 5400
    assert parse(["--time-limit", "90s"]).time_limit == 90


def test_a_space_file_chooses_and_narrows_the_space(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "space.toml"
    path.write_text('space = "full"\nnorm = "batch"\n')
    choice = choose(parse(["--space", str(path)]), "cuda")
    left = narrowed(choice, PRESETS["tiny"])
    assert (choice.space, left) == ("full", {"norm": ("batch",)})
    space = make_space(
        replace(settings, space="full", fill=True, narrowed=left),
        PRESETS["tiny"],
        rfcalc.Budget(max_params=9),
    )
    assert isinstance(space, FullSpace)
    assert space.choices["norm"] == ("batch",)
    path.write_text('space = "full"\n')
    with pytest.raises(SearchError, match="is for space 'full'"):
        choose(parse(["--space", "widths", "--space-file", str(path)]), "cpu")


def test_a_space_is_filled_up_to_the_budgets_own_limit(settings: Settings) -> None:
    budget = rfcalc.Budget(max_params=50_000)
    space = make_space(replace(settings, fill=True), PRESETS["tiny"], budget)
    assert isinstance(space, WidthSpace)
    assert space.max_params == 50_000
    with pytest.raises(SearchError, match="has no max-params"):
        make_space(replace(settings, fill=True), PRESETS["tiny"], rfcalc.Budget())
    assert limited(budget, 5).max_macs == 5
    assert limited(replace(budget, max_macs=3), 5).max_macs == 3


def test_the_front_is_what_no_trial_beats() -> None:
    records = [
        _record(0, 0.5, 100), _record(1, 0.6, 200), _record(2, 0.55, 300), _record(3, 0.5, 100),
        _record(4, 0.9, 900, "pruned"), _record(5, 0.4, 50),
    ]  # fmt: skip
    assert [point.number for point in front(records, ("accuracy", "macs"))] == [1, 0, 5]


def test_flash_is_that_of_the_spec() -> None:
    names = ("residual-mcu", "tiny", "residual-mcu")
    records = [
        replace(_record(number, score, 100), spec=PRESETS[name].to_json())
        for number, (name, score) in enumerate(zip(names, (0.6, 0.5, 0.4), strict=True))
    ]
    stored = flash(PRESETS["tiny"])
    assert stored is not None
    assert reached(records[1], ("accuracy", "flash")) == [0.5, float(stored.total)]
    found = front(records, ("accuracy", "flash"))
    assert [point.number for point in found] == [0, 1]
    assert found[1].values == {"accuracy": 0.5, "flash": float(stored.total)}
