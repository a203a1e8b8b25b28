"""benchmarks/search_quality.py: every method plays by the rules; it goes on where it was killed."""

import json
from collections import Counter
from pathlib import Path

import pytest

import rfcalc
from models.arithmetic import figures
from models.presets import PRESETS
from search.propose.gate import Gate
from search.propose.limits import project_budget
from search.propose.space import WidthSpace


@pytest.fixture
def script(load):
    return load("search_quality")


@pytest.fixture
def arguments(places) -> list[str]:
    return [*places, "--trials", "4", "--epochs", "1"]


def found(arguments: list[str]) -> dict:
    return json.loads(Path(arguments[5]).read_text(encoding="utf-8"))


def cells(arguments: list[str]) -> dict:
    return {
        key: {**cell, "trials": [dict(trial) for trial in cell["trials"]]}
        for key, cell in found(arguments)["cells"].items()
    }


def trial(score: float | None = None, state: str = "complete") -> dict:
    return {"values": {}, "state": state, "score": score, "broken": {}, "macs": 5_000_000, "seconds": 3.0}


def test_every_method_trains_as_many_networks_and_all_of_them_fit(script, training, arguments, capsys):
    assert script.main([*arguments, "--methods", *script.METHODS]) == 0
    assert all(figures(spec, spec.input_size).params <= 99_999 for spec, _, _ in training.calls)
    states = {
        name: Counter(trial["state"] for trial in cell["trials"])
        for name, cell in found(arguments)["cells"].items()
    }
    assert set(states) == {f"{name}/0" for name in script.METHODS}
    soft, presets = states.pop("optuna-soft/0"), states.pop("presets/0")
    assert presets == {"complete": len(PRESETS)}
    assert soft["complete"] + soft["misfit"] == 4, "what breaks the budget uses up a trial"
    assert {name: count["complete"] for name, count in states.items()} == dict.fromkeys(states, 4)
    assert states["optuna-told/0"]["misfit"] > 0, "four in five proposals of these widths are too large"
    assert all(count["misfit"] == 0 for name, count in states.items() if "told" not in name)
    trained = [
        trial
        for name in ("tpe-fill", "random-fill")
        for trial in found(arguments)["cells"][f"{name}/0"]["trials"]
    ]
    assert all(trial["params"] > 90_000 for trial in trained), "filled"
    output = capsys.readouterr().out
    assert all(f"| {name} | 1 |" in output for name in script.METHODS)


def test_the_search_with_anchors_tries_its_base_first(script, training, arguments):
    assert script.main([*arguments, "--methods", "search", "--retrain", "0"]) == 0
    first = found(arguments)["cells"]["search/0"]["trials"][0]
    assert set(first["values"].values()) == {1.0}


@pytest.mark.parametrize("stop_at", [2, 7, 12])
def test_stopped_anywhere_it_ends_as_if_it_had_not(script, training, arguments, stop_at, capsys):
    methods = ["--methods", "tpe-fill", "search", "evolution-fill", "optuna-told"]
    whole = [*arguments[:5], arguments[5] + ".whole", *arguments[6:]]
    assert script.main([*whole, *methods]) == 0
    calls = len(training.calls)
    training.stop_at = calls + stop_at
    assert script.main([*arguments, *methods]) == 130
    assert "goes on from here" in capsys.readouterr().err
    training.stop_at = None
    assert script.main([*arguments, *methods]) == 0
    assert len(training.calls) == 2 * calls + 1, "only the training that was cut short is done twice"
    stopped, expected = cells(arguments), cells(whole)
    for each in [*stopped.values(), *expected.values()]:
        for one in each["trials"]:
            one.pop("turned_away", None)  # forgets what it met before the break
    assert stopped == expected


def test_more_trials_lengthen_what_is_there(script, training, arguments):
    one = [*arguments, "--methods", "tpe-fill", "--retrain", "0"]
    assert script.main(one) == 0
    before = found(arguments)["cells"]["tpe-fill/0"]["trials"]
    assert script.main([*one, "--trials", "6"]) == 0
    after = found(arguments)["cells"]["tpe-fill/0"]["trials"]
    assert after[:4] == before
    assert len(training.calls) == len(after) == 6


def test_other_conditions_are_refused_with_what_differs(script, training, arguments, capsys):
    one = [*arguments, "--methods", "presets", "--retrain", "0"]
    assert script.main(one) == 0
    assert script.main([*one, "--epochs", "3"]) == 2
    assert "out.json: epochs was 1, now 3; choose another file" in capsys.readouterr().err
    Path(arguments[5]).write_text('{"benchmark": "other"}', encoding="utf-8")
    assert script.main(one) == 2
    assert "was not written by search_quality" in capsys.readouterr().err


def test_a_failed_training_uses_up_a_trial(script, training, arguments):
    training.fail_at = 2
    assert script.main([*arguments, "--methods", "tpe-fill", "--retrain", "0"]) == 0
    trials = found(arguments)["cells"]["tpe-fill/0"]["trials"]
    assert [each["state"] for each in trials] == ["complete", "failed", "complete", "complete"]
    assert trials[1]["reason"] == "TrainingError: the loss became nan"


def test_the_curve_is_the_best_so_far_and_misfits_use_up_trials_where_they_count(script):
    trials = [trial(state="misfit"), trial(0.3), trial(0.2), trial(state="misfit"), trial(0.5)]
    counted, free = script.METHODS["optuna-soft"], script.METHODS["optuna-told"]
    assert script.curve(trials, counted, 5) == [None, 0.3, 0.3, 0.3, 0.5]
    assert script.curve(trials, free, 3) == [0.3, 0.3, 0.5]
    assert script.curve(trials, free, 2) == [0.3, 0.3]


def test_the_table_has_mean_and_deviation_over_the_seeds(script):
    ground = script.Ground({}, rfcalc.Budget(), PRESETS, 2)
    name = {"preset": "tiny"}
    scores = {"0": (0.5, 0.44), "1": (0.6, 0.46)}
    content = {
        "cells": {
            f"presets/{seed}": {
                "trials": [trial(best) | {"values": name}, *(trial(0.1) for _ in PRESETS)][: len(PRESETS)],
                "found_all": True,
                "retrained": {script.fingerprint(PRESETS["tiny"]): [fresh]},
            }
            for seed, (best, fresh) in scores.items()
        }
        | {
            "optuna-soft/0": {
                "trials": [trial(state="misfit"), trial(state="misfit")], "found_all": True, "retrained": {},
            }
        }
    }  # fmt: skip
    quality, effort = script.sheets(content, 2, ground)
    assert quality.header == (
        "method",
        "n",
        "best of 1",
        "best of 2",
        "the best, retrained",
        "its million MACs",
    )
    soft, presets = quality.rows
    assert soft == (
        "optuna-soft",
        "1",
        "none in 1 of 1",
        "none in 1 of 1",
        "none in 1 of 1",
        "-",
    )
    assert presets[1:] == ("2", "55.0 ± 7.1", "55.0 ± 7.1", "45.0 ± 1.4", "5.0")
    n = len(PRESETS)  # each of them took 3 s
    assert effort.rows[1][1:] == (f"{n}.0", "0.0", "0.0", "0.0", f"{3 * n} s")
    assert effort.rows[0][1:3] == ("0.0", "2.0")
    assert "| presets | 2 | 55.0 ± 7.1 |" in "\n".join(quality.markdown())


def test_violations_are_shares_of_their_limits(script):
    from benchmarks import search_rivals

    space = WidthSpace(PRESETS["tiny"])
    widest = {name: values[-1] for name, values in space.choices.items()}
    params = figures(space.spec(widest)).params
    gate = Gate(project_budget(), (3, 32, 32))
    assert search_rivals.violations(space, gate, widest) == {"max_params": (params - 99_999) / 99_999}
    assert search_rivals.violations(space, gate, dict(space.anchors()["tiny"])) == {}


@pytest.mark.slow
def test_it_trains_in_earnest(script, arguments, capsys):
    assert script.main([*arguments, "--trials", "2", "--methods", "tpe-fill", "optuna-soft"]) == 0
    output = capsys.readouterr().out
    assert output.index("about ") < output.index("seed 0, tpe-fill: "), "how long it takes is said first"
    trials = found(arguments)["cells"]["tpe-fill/0"]["trials"]
    assert all(0 <= each["score"] <= 1 and each["seconds"] > 0 for each in trials)
    assert len(found(arguments)["cells"]["tpe-fill/0"]["retrained"]) == 1
    assert "| tpe-fill | 1 |" in output
