"""benchmarks/rank_agreement.py: statistics against known values; it goes on where it was killed."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from models.arithmetic import figures
from models.presets import PRESETS


@pytest.fixture
def script(load):
    return load("rank_agreement")


@pytest.fixture
def arguments(places) -> list[str]:
    return [*places, "--specs", "3", "--budgets", "1", "--long", "2"]


def found(arguments: list[str]) -> dict:
    return json.loads(Path(arguments[5]).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("first", "second", "tau"),
    [
        pytest.param([1, 2, 3, 4], [10, 20, 30, 40], 1.0, id="same order"),
        pytest.param([1, 2, 3, 4], [4, 3, 2, 1], -1.0, id="opposite order"),
        pytest.param([1, 2, 3, 4], [1, 2, 4, 3], 4 / 6, id="one pair of six swapped"),
        pytest.param(
            [12, 2, 1, 12, 2], [1, 4, 7, 1, 0], -0.47140452079103173, id="ties, SciPy's own example"
        ),
        pytest.param([1, 1, 1], [1, 2, 3], None, id="no order"),
    ],
)
def test_tau_is_what_is_known(script, first, second, tau):
    assert script.kendall_tau(first, second) == pytest.approx(tau)
    assert script.kendall_tau(second, first) == pytest.approx(tau)


def test_tau_agrees_with_scipy(script):
    stats = pytest.importorskip("scipy.stats")
    rng = random.Random(0)
    for _ in range(50):
        first, second = ([rng.randrange(8) for _ in range(12)] for _ in range(2))
        assert script.kendall_tau(first, second) == pytest.approx(
            float(stats.kendalltau(first, second).statistic)
        )


def test_the_interval_holds_tau_and_is_narrow_where_all_agree(script):
    rng = random.Random(1)
    truth = [rng.random() for _ in range(12)]
    short = [value + rng.gauss(0, 0.2) for value in truth]
    low, high = script.interval(short, truth)
    assert low < script.kendall_tau(short, truth) < high
    assert script.interval(truth, truth) == (1.0, 1.0)
    assert script.interval([1, 1], [1, 2]) is None


def test_what_is_lost_is_the_lead_of_the_best_over_the_best_that_was_kept(script):
    short, long = [0.3, 0.5, 0.4, 0.1], [0.9, 0.6, 0.8, 0.7]
    assert script.lost(short, long, 1) == pytest.approx(0.3)
    assert script.lost(short, long, 2) == pytest.approx(0.1)
    assert script.lost(short, long, 3) == 0


def test_networks_are_spread_over_the_range_of_macs(script):
    spread = script.spread(list(PRESETS.values()), 2)
    macs = sorted(figures(spec, spec.input_size).macs for spec in PRESETS.values())
    assert [figures(spec, spec.input_size).macs for spec in spread] == [macs[0], macs[-1]]
    assert len(script.spread(list(PRESETS.values()), 9)) == len(PRESETS)


def test_the_table_says_how_well_each_short_budget_ranks(script):
    specs = [replace(PRESETS["tiny"], name=name).to_json() for name in "abcd"]
    ends = {1: [0.1, 0.2, 0.3, 0.4], 2: [0.4, 0.3, 0.2, 0.1], 6: [0.5, 0.6, 0.8, 0.7]}
    runs = {
        f"{place}/{epochs}/0": {
            "state": "complete",
            "accuracies": [0.0] * (epochs - 1) + [end],
            "seconds": 1.0,
        }
        for epochs, scores in ends.items()
        for place, end in enumerate(scores)
    }
    short, middle = script.sheets({"specs": specs, "runs": runs}, 6)
    assert short.title.endswith("4 networks, against 6 epochs (n = 1 seeds, 50.0 to 80.0 %)")
    one, two = short.rows
    assert one[:3] == ("1 epochs", "1", "0.67")
    assert one[4:] == ("10.00", "0.00", "10.0 to 40.0")
    assert two[:3] == ("2 epochs", "1", "-0.67")
    assert two[4:] == ("30.00", "0.00", "10.0 to 40.0")
    assert middle.rows == (("epoch 1 of 2", "1", "-", "-", "30.00", "0.00", "0.0 to 0.0"),)
    del runs["3/6/0"]
    assert script.sheets({"specs": specs, "runs": runs}, 6) == []


def test_a_second_seed_shows_how_well_long_runs_agree(script, training, arguments, capsys):
    assert script.main([*arguments, "--seeds", "0", "1"]) == 0
    short, _ = script.sheets(found(arguments), 2), capsys.readouterr()
    assert [row[0] for row in short[0].rows] == ["1 epochs", "one long run and another"]
    assert {len(row) for row in short[0].rows} == {len(short[0].header)}


def test_it_goes_on_where_it_was_stopped(script, training, arguments, capsys):
    training.stop_at = 4
    assert script.main(arguments) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert len(found(arguments)["runs"]) == 3
    training.stop_at = None
    assert script.main(arguments) == 0
    assert len(training.calls) == 4 + 3, "what had ended is not trained again"
    done = found(arguments)
    assert len(done["runs"]) == 6
    seeds = [seed for _, _, seed in training.calls[4:] + training.calls[:3]]
    assert len(set(seeds)) == 6, "every run has a seed of its own"
    assert script.main([*arguments, "--report"]) == 0
    assert "| 1 epochs | 1 |" in capsys.readouterr().out
    assert len(training.calls) == 7


def test_a_failed_run_is_kept_out_of_the_tables_and_tried_again(script, training, arguments, capsys):
    training.fail_at = 2
    assert script.main(arguments) == 0
    assert "TrainingError: the loss became nan" in capsys.readouterr().out
    assert script.sheets(found(arguments), 2) == []
    assert script.main(arguments) == 0
    assert len(training.calls) == 6 + 1
    assert len(script.sheets(found(arguments), 2)) == 1


@pytest.mark.slow
def test_it_trains_in_earnest(script, arguments, capsys):
    assert script.main([*arguments, "--specs", "2"]) == 0
    runs = found(arguments)["runs"]
    assert [len(run["accuracies"]) for run in runs.values()] == [1, 2, 1, 2]
    assert all(0 <= value <= 1 for run in runs.values() for value in run["accuracies"])
    assert all(run["state"] == "complete" and run["seconds"] > 0 for run in runs.values())
    assert "| 1 epochs | 1 |" in capsys.readouterr().out
