"""Two searches of one name that are not the same."""

import optuna
import pytest

from search.errors import SearchError
from search.session.identity import check_identity


def test_a_study_of_something_else_is_refused_with_what_differs() -> None:
    study = optuna.create_study(study_name="mine")
    check_identity(study, {"space": "full (1)", "data set": "shapes (2)"})
    check_identity(study, {"space": "full (1)", "data set": "shapes (2)"})
    with pytest.raises(
        SearchError, match=r"'mine' is another one: its data set is shapes \(2\), not CIFAR \(3\)"
    ):
        check_identity(study, {"space": "full (1)", "data set": "CIFAR (3)"})
