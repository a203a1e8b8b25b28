"""The first thing on a search's page: beats or does not beat the best preset, and how surely."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from records.search import SearchRecord
from reports.pages.verdict import against_best_preset
from reports.runs import open_search


@pytest.fixture
def climb(make_climb: Callable[..., Path]) -> SearchRecord:
    return open_search(make_climb()).record


def test_a_better_network_has_the_verdict_its_figures_and_its_interval(climb: SearchRecord) -> None:
    drawn = against_best_preset(climb)
    assert drawn is not None
    assert '<div class="verdict yes"><strong>Beats the best preset</strong>' in drawn
    assert "trial 4, by -0.0600 ± 0.0200 in validation loss and +2.5 points, 2 fresh seeds each" in drawn
    assert "95 % interval -0.0800 to -0.0400, n = 2 seeds each" in drawn


def test_the_interval_is_drawn_to_scale_around_0_in_the_middle(climb: SearchRecord) -> None:
    drawn = against_best_preset(climb) or ""
    left, right = map(float, re.findall(r'class="reach" d="M([\d.]+),12H([\d.]+)"', drawn)[0])
    mean = float(re.findall(r'class="mean" d="M([\d.]+),', drawn)[0])
    zero = float(re.findall(r'class="zero" d="M([\d.]+),', drawn)[0])
    assert 0 < left < mean < right < zero == 500
    assert (zero - mean) / (zero - left) == pytest.approx(0.06 / 0.08, abs=0.001)
    assert (zero - right) / (zero - left) == pytest.approx(0.04 / 0.08, abs=0.001)


def test_a_search_without_a_better_network_says_that_first(make_climb: Callable[..., Path]) -> None:
    drawn = against_best_preset(open_search(make_climb(beats=False)).record)
    assert drawn is not None
    assert '<div class="verdict no"><strong>Does not beat the best preset</strong>' in drawn
    assert "The nearest, trial 4, differs by +0.0100" in drawn
    assert "95 % interval -0.0100 to +0.0300" in drawn


def test_where_nothing_but_presets_were_finalists_there_is_no_interval(climb: SearchRecord) -> None:
    drawn = against_best_preset(replace(climb, finalists=climb.finalists[1:], winner=1)) or ""
    assert "Does not beat the best preset" in drawn
    assert "<svg" not in drawn


def test_a_search_without_presets_says_why_there_is_no_verdict(climb: SearchRecord) -> None:
    alone = replace(climb, best_known=None)
    assert "no preset was trained beside the finalists" in (against_best_preset(alone) or "")
    unfinished = replace(alone, winner=None, finalists=())
    assert "No verdict yet" in (against_best_preset(unfinished) or "")
    assert against_best_preset(replace(unfinished, trials={})) is None
