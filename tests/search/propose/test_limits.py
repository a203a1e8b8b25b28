"""The budget of a search: the project's, with the limits that `--limit` names."""

import pytest

from search.errors import SearchError
from search.propose.limits import asked_limits, project_budget


def test_a_limit_takes_the_place_of_the_projects() -> None:
    found = asked_limits(["max-macs=40M", "require-gap=no"])
    assert found == {"max_macs": 40_000_000, "require_gap": False}
    budget = project_budget(found)
    assert (budget.max_macs, budget.require_gap) == (40_000_000, False)
    assert budget.max_params == project_budget().max_params


def test_int8_counts_bytes_in_int8() -> None:
    found = asked_limits(["int8", "max-peak-activation-bytes=65536"])
    assert found == {"int8": True, "max_peak_activation_bytes": 65_536}
    budget = project_budget(found)
    assert (budget.dtype, budget.max_peak_activation_bytes) == ("int8", 65_536)
    assert project_budget().dtype == "float32"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("int9", "'int9' is unknown; did you mean int8?"),
        ("dtype=int8", "--limit dtype=int8: write --limit int8, which counts bytes in int8"),
        ("max-mac=40M", "'max-mac' is unknown; did you mean max-macs?"),
        ("max-macs=lots", "--limit max-macs=lots: expected a number such as 12000000 or 12M, got 'lots'"),
        ("require-gap=1", "require-gap takes yes or no, got '1'"),
        ("max-macs", "expected a number such as"),
        ("int8=yes", "--limit int8=yes: write --limit int8, which takes no value"),
        ("forbid-ops=silu", "--limit forbid-ops=silu: forbid-ops is a list; write it into pyproject.toml"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(word: str, text: str) -> None:
    with pytest.raises(SearchError, match=text):
        asked_limits([word])
