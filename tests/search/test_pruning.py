"""When a trial is hopeless."""

import optuna

from search.pruning import pruner


def test_halving_lets_the_better_half_go_on() -> None:
    study = optuna.create_study(direction="maximize", pruner=pruner("halving", 4))
    fates = []
    for accuracy in (0.5, 0.6, 0.4, 0.7, 0.45):
        trial = study.ask()
        trial.report(0.0, 1)
        assert not trial.should_prune()  # the first epoch is never held against a network
        trial.report(accuracy, 2)
        fates.append(trial.should_prune())
        study.tell(trial, accuracy)
    assert fates == [False, False, True, False, True]


def test_no_pruner_never_prunes() -> None:
    study = optuna.create_study(direction="maximize", pruner=pruner("none", 4))
    for accuracy in (0.5, 0.1):
        trial = study.ask()
        trial.report(accuracy, 2)
        assert not trial.should_prune()
