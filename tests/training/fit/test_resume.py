import os
import random
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from records.run import EpochRecord
from training.fit import checkpoint
from training.fit.checkpoint import CheckpointError
from training.fit.loop import fit

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(
    tmp_path, optimizer, stop, network, dataset, weights, same, recipe
):
    recipe = replace(recipe, optimizer=optimizer, learning_rate=0.02, mixup=0.2, clip=1.0)
    whole = network()
    history = fit(whole, dataset(), dataset(50, seed=1), recipe, seed=3, deterministic=True)

    def break_off(record: EpochRecord) -> None:
        if record.epoch == stop:
            raise KeyboardInterrupt

    arguments = {"seed": 3, "deterministic": True, "checkpoint": tmp_path / "last.pt"}
    with pytest.raises(KeyboardInterrupt):
        fit(network(), dataset(), dataset(50, seed=1), recipe, on_epoch=break_off, **arguments)
    resumed = network(seed=99)
    again = fit(resumed, dataset(), dataset(50, seed=1), recipe, resume=True, workers=0, **arguments)
    assert same(weights(whole), weights(resumed))
    figures = [[(each.train_loss, each.val_loss) for each in run.epochs] for run in (history, again)]
    assert figures[0] == figures[1]


def break_off_at(number: int):
    """A `stop` that says yes at the `number`th time it is asked, and from then on."""
    asked = iter(range(1, 1_000_000))
    return lambda: next(asked) >= number


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("step", [1, 3, 5, 8, 17])
def test_a_run_told_to_stop_within_an_epoch_goes_on_at_that_very_step(
    tmp_path, optimizer, step, network, dataset, weights, same, recipe
):
    changes = {"mixup": 0.2, "cutmix": 0.2, "clip": 1.0, "learning_rate": 0.02, "policy": "none"}
    recipe = replace(recipe, optimizer=optimizer, **changes)
    whole = network()
    history = fit(whole, dataset(), None, recipe, seed=3, deterministic=True)
    path = tmp_path / "last.pt"
    arguments = {"seed": 3, "deterministic": True, "checkpoint": path}
    broken = fit(network(), dataset(), None, recipe, stop=break_off_at(step), **arguments)
    assert broken.stopped
    assert len(broken.epochs) == (step - 1) // 6  # asked after 5 of 6 steps, and once at the end
    partial = checkpoint.load(path)[0]["partial"]
    assert partial["step"] == (step - 1) % 6 + 1
    resumed = network(seed=99)
    again = fit(resumed, dataset(), None, recipe, resume=True, workers=1, **arguments)
    assert same(weights(whole), weights(resumed))
    assert [each.train_loss for each in history.epochs] == [each.train_loss for each in again.epochs]
    assert [each.train_accuracy for each in history.epochs] == [each.train_accuracy for each in again.epochs]
    # The losses of single steps from before the break as well.
    assert len(history.losses) == 6 * recipe.epochs
    assert (history.losses == again.losses).all()


def test_a_run_is_saved_within_an_epoch_when_the_time_has_come(
    tmp_path, monkeypatch, network, dataset, recipe
):
    saved = []
    monkeypatch.setattr(checkpoint, "save", lambda path, state: saved.append(state["partial"]))
    recipe = replace(recipe, epochs=2, policy="none")
    fit(network(), dataset(), None, recipe, seed=0, checkpoint=tmp_path / "last.pt", save_every=0.0)
    assert [each and each["step"] for each in saved] == [1, 2, 3, 4, 5, None] * 2
    saved.clear()
    fit(network(), dataset(), None, recipe, seed=0, checkpoint=tmp_path / "last.pt", save_every=600.0)
    assert saved == [None, None]


def test_a_resumed_run_needs_the_same_teacher(tmp_path, network, dataset, recipe):
    recipe = replace(recipe, distill_weight=0.5, epochs=2, policy="none")
    arguments = {"seed": 0, "checkpoint": tmp_path / "last.pt", "resume": True}
    fit(network(), dataset(), None, recipe, teacher=network(5), stop=break_off_at(3), **arguments)
    with pytest.raises(CheckpointError, match="by a run with another teacher"):
        fit(network(), dataset(), None, recipe, teacher=network(6), **arguments)
    history = fit(network(), dataset(), None, recipe, teacher=network(5), **arguments)
    assert len(history.epochs) == 2


@pytest.mark.slow
@pytest.mark.parametrize("every", [600.0, 0.0], ids=["epochs", "steps"])
def test_a_run_killed_at_any_moment_resumes_to_the_same_bits(
    tmp_path, every, network, dataset, weights, same, recipe
):
    """SIGKILL from outside, in the middle of an epoch; the child trains what this test trains."""
    script = textwrap.dedent(
        f"""
        import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parents[1])!r}]
        import time
        from pathlib import Path
        from dataclasses import replace
        import conftest as t
        from training.fit.loop import fit
        fit(t.network(), t.dataset(), None, replace(t.RECIPE, epochs=400), seed=3, deterministic=True,
              checkpoint=Path(sys.argv[1]), save_every={every}, on_epoch=lambda e: print(e.epoch, flush=True))
        """
    )
    path = tmp_path / "last.pt"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) == 3:
                time.sleep(random.uniform(0, 0.1))  # at another step at every run of this test
                child.kill()
                break
    recipe = replace(recipe, epochs=400)
    finished = len(checkpoint.load(path)[0]["epochs"])
    assert 3 <= finished < 400

    def stop(record: EpochRecord) -> bool:
        return record.epoch < finished + 2

    whole, resumed = network(), network(seed=9)
    fit(whole, dataset(), None, recipe, seed=3, deterministic=True, on_epoch=stop)
    fit(
        resumed,
        dataset(),
        None,
        recipe,
        seed=3,
        deterministic=True,
        on_epoch=stop,
        checkpoint=path,
        resume=True,
    )
    assert same(weights(whole), weights(resumed))


def test_resuming_a_finished_run_gives_its_result_again(tmp_path, network, dataset, weights, same, recipe):
    path = tmp_path / "last.pt"
    first, second = network(), network(seed=4)
    history = fit(first, dataset(), None, recipe, seed=0, checkpoint=path)
    again = fit(second, dataset(), None, recipe, seed=0, checkpoint=path, resume=True)
    assert again.epochs == history.epochs
    assert same(weights(first), weights(second))


def test_resume_without_a_checkpoint_starts_at_the_beginning(tmp_path, network, dataset, recipe):
    history = fit(network(), dataset(), None, recipe, seed=0, checkpoint=tmp_path / "last.pt", resume=True)
    assert len(history.epochs) == 3


def test_a_checkpoint_that_damage_made_the_newest_is_told_before_the_first_step(
    tmp_path, network, dataset, recipe
):
    path, told = tmp_path / "last.pt", []
    fit(network(), dataset(), None, recipe, seed=0, checkpoint=path)
    path.unlink()
    path.write_bytes(b"PK")
    with pytest.raises(KeyboardInterrupt):
        fit(
            network(),
            dataset(),
            None,
            recipe,
            seed=0,
            checkpoint=path,
            resume=True,
            on_notice=told.append,
            progress=lambda progress: _break_off(),
        )
    assert told == [f"{path} is truncated or not a checkpoint; going on from the checkpoint before it"]


def test_a_run_with_frozen_and_slower_parts_resumes_to_the_same_bits(
    tmp_path, network, dataset, weights, same, recipe
):
    """Its checkpoint has the average of what moves alone, and groups of parameters by their rates."""
    recipe = replace(recipe, optimizer="adamw", learning_rate=0.02, ema=0.2)

    def frozen(seed: int = 0) -> nn.Module:
        model = network() if seed == 0 else network(seed=seed)
        for parameter in next(iter(model.children())).parameters():
            parameter.requires_grad_(False)
        return model

    name = next(name for name, value in frozen().named_parameters() if value.requires_grad)
    arguments = {"seed": 3, "deterministic": True, "shares": {name: 0.1}}
    whole = frozen()
    fit(whole, dataset(), None, recipe, **arguments)
    path = tmp_path / "last.pt"
    fit(frozen(), dataset(), None, recipe, stop=break_off_at(8), checkpoint=path, **arguments)
    first = next(iter(frozen().state_dict()))
    state = checkpoint.load(path)[0]
    assert first in state["state_dict"]
    assert first not in state["ema"]["average"]
    resumed = frozen()
    fit(resumed, dataset(), None, recipe, checkpoint=path, resume=True, **arguments)
    assert same(weights(whole), weights(resumed))
    with pytest.raises(CheckpointError, match=r"'optimizer\.members' has 2 entries, not 1"):
        fit(frozen(), dataset(), None, recipe, checkpoint=path, resume=True, seed=3, deterministic=True)


def _break_off() -> None:
    raise KeyboardInterrupt


def test_a_checkpoint_from_before_the_architecture_was_kept_is_taken(tmp_path, network, dataset, recipe):
    path = tmp_path / "last.pt"
    fit(network(), dataset(), None, recipe, seed=0, checkpoint=path, stop=break_off_at(3))
    state, _ = checkpoint.load(path)
    for what in ("architecture", "normalisation"):
        del state["identity"][what]
    checkpoint.save(path, state)
    assert len(fit(network(), dataset(), None, recipe, seed=0, checkpoint=path, resume=True).epochs) == 3


def other_activation() -> nn.Module:
    """The network of these tests, with weights of the same names and shapes."""
    layers = [nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            lambda recipe, dataset: {"recipe": replace(recipe, epochs=9)},
            "was written with epochs=3 and not 9",
        ),
        (
            lambda recipe, dataset: {"recipe": replace(recipe, policy="none")},
            "was written with policy='mild' and not 'none'",
        ),
        (lambda recipe, dataset: {"seed": 1}, r"by a run with another seed \(0, not 1\)"),
        (lambda recipe, dataset: {"train": dataset(seed=8)}, "by a run with another training images"),
        (
            lambda recipe, dataset: {"model": nn.Sequential(nn.Flatten(), nn.Linear(768, 3))},
            "by a run with another network",
        ),
        (
            lambda recipe, dataset: {"model": other_activation()},
            "by a run with another architecture",
        ),
        (
            lambda recipe, dataset: {"train": replace(dataset(), std=(61.0,) * 3)},
            "by a run with another normalisation",
        ),
    ],
    ids=["epochs", "policy", "seed", "images", "network", "architecture", "normalisation"],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, text, network, dataset, recipe):
    path = tmp_path / "last.pt"
    arguments = {"model": network(), "train": dataset(), "validation": None, "recipe": recipe, "seed": 0}
    fit(**arguments, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=text):
        fit(**{**arguments, **changes(recipe, dataset)}, checkpoint=path, resume=True)
    assert path.read_bytes() == before
