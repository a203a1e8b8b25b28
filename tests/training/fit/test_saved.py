"""Checkpoints whose bytes are sound and whose content is not: one line each, and nothing half-restored."""

import copy
import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from training.fit import checkpoint
from training.fit.checkpoint import CheckpointError
from training.fit.loop import fit

NAN = float("nan")


@pytest.fixture(scope="module", params=["sgd", "adamw", "muon"])
def optimizer(request) -> str:
    return request.param


STATES: dict[str, dict[str, Any]] = {}
"""Of one run for each optimiser, made once."""


@pytest.fixture
def written(tmp_path, network, dataset, recipe) -> Callable[[str], tuple[dict[str, Any], Callable[[], None]]]:
    """Return the state of a run that stopped within its second epoch, and what goes on from `last.pt`."""

    def make(optimizer: str) -> tuple[dict[str, Any], Callable[[], None]]:
        settings = replace(recipe, optimizer=optimizer, learning_rate=0.01, policy="none", epochs=2)
        images, path = dataset(100), tmp_path / "last.pt"
        if optimizer not in STATES:
            asked = iter(range(1000))
            fit(network(), images, None, settings, seed=3, checkpoint=path, stop=lambda: next(asked) >= 3)
            STATES[optimizer] = checkpoint.load(path)[0]
            for left in tmp_path.iterdir():
                left.unlink()

        def go_on() -> None:
            fit(network(), images, None, settings, seed=3, checkpoint=path, resume=True)

        return copy.deepcopy(STATES[optimizer]), go_on

    return make


def at(state: Any, *keys: Any) -> Any:
    for key in keys:
        state = state[key]
    return state


def put(*keys: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        at(state, *keys[:-1])[keys[-1]] = value

    return change


def drop(*keys: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        del at(state, *keys[:-1])[keys[-1]]

    return change


def nan_in(*keys: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        tensor = at(state, *keys)
        tensor[(0,) * tensor.ndim] = NAN

    return change


WRONG = {
    "no identity": (drop("identity"), "'identity' is missing"),
    "identity a list": (put("identity", value=[1]), "'identity' must be dict, got list"),
    "identity holds a tensor": (
        put("identity", "seed", value=torch.zeros(3)),
        r"'identity\.seed' holds a Tensor",
    ),
    "no recipe": (drop("recipe"), "'recipe' is missing"),
    "recipe without epochs": (drop("recipe", "epochs"), "'recipe' is none: .*'epochs' is missing"),
    "recipe NaN": (put("recipe", "learning_rate", value=NAN), "'recipe' is none: .*learning_rate"),
    "recipe None": (put("recipe", "epochs", value=None), "'recipe' is none"),
    "recipe with a number for a key": (put("recipe", 5, value=1), "'recipe' is none: .*unknown key 5"),
    "no weights": (drop("state_dict"), "'state_dict' is missing"),
    "a weight missing": (drop("state_dict", "0.weight"), r"'state_dict\.0\.weight' is missing"),
    "a foreign weight": (put("state_dict", "9.weight", value=torch.ones(1)), "is not of this network"),
    "a weight NaN": (nan_in("state_dict", "0.weight"), r"'state_dict\.0\.weight' holds NaN or infinity"),
    "a buffer NaN": (nan_in("state_dict", "1.running_var"), r"1\.running_var' holds NaN"),
    "a weight of another shape": (
        put("state_dict", "6.bias", value=torch.zeros(5)),
        r"6\.bias' is torch\.float32 of shape \(5,\), not torch\.float32 of \(3,\)",
    ),
    "a weight a number": (put("state_dict", "6.bias", value=3.0), "must be a tensor, got float"),
    "no optimiser": (drop("optimizer"), "'optimizer' is missing"),
    "no members": (put("optimizer", "members", value=[]), r"'optimizer\.members' has 0 entries"),
    "a member a number": (put("optimizer", "members", 0, value=3), r"members\[0\]' must be dict"),
    "no state": (drop("optimizer", "members", 0, "state"), r"members\[0\]\.state' is missing"),
    "no groups": (drop("optimizer", "members", 0, "param_groups"), "param_groups' is missing"),
    "other groups": (
        put("optimizer", "members", 0, "param_groups", 0, "params", value=[7]),
        "divides the parameters otherwise",
    ),
    "state of no parameter": (
        put("optimizer", "members", 0, "state", 99, value={}),
        r"state\.99' is of no parameter",
    ),
    "average missing": (drop("ema", "average"), r"'ema\.average' is missing"),
    "average None": (put("ema", value=None), "'ema' is missing, against the recipe"),
    "average NaN": (nan_in("ema", "average", "0.weight"), r"'ema\.average\.0\.weight' holds NaN"),
    "average's steps": (put("ema", "steps", value=-1), r"'ema\.steps' is -1"),
    "average's steps text": (put("ema", "steps", value="5"), r"'ema\.steps' must be int, got str"),
    "no epochs": (drop("epochs"), "'epochs' is missing"),
    "too many epochs": (put("epochs", value=[{}] * 9), "'epochs' has 9 entries, but the recipe 2"),
    "an epoch a number": (put("epochs", 0, value=3), r"'epochs\[0\]' must hold epoch, "),
    "an epoch without loss": (drop("epochs", 0, "train_loss"), r"'epochs\[0\]' must hold epoch, "),
    "a loss NaN": (put("epochs", 0, "train_loss", value=NAN), r"'epochs\[0\]\.train_loss' is nan"),
    "a loss text": (put("epochs", 0, "train_loss", value="0.5"), r"train_loss' must be a number, got str"),
    "an accuracy of 2": (put("epochs", 0, "train_accuracy", value=2.0), "is 2, not a number from 0 to 1"),
    "seconds without end": (put("epochs", 0, "seconds", value=10**400), "seconds' is inf"),
    "another number": (put("epochs", 0, "epoch", value=2), r"'epochs\[0\]\.epoch' is 2, not 1"),
    "partial a list": (put("partial", value=[1]), "'partial' must be dict or nothing, got list"),
    "partial without losses": (drop("partial", "losses"), r"'partial\.losses' is missing"),
    "partial losses NaN": (nan_in("partial", "losses"), r"'partial\.losses' must be a list of finite"),
    "partial losses longer": (
        put("partial", "losses", value=torch.zeros(40)),
        r"'partial\.losses' has shape \(40,\), not \(3,\)",
    ),
    "partial step beyond": (put("partial", "step", value=3), r"'partial\.step' is 3, not .* from 1 to 2"),
    "partial step negative": (put("partial", "step", value=-1), r"'partial\.step' is -1"),
    "partial right beyond": (put("partial", "right", value=1000), r"'partial\.right' is 1000"),
    "partial right text": (put("partial", "right", value="1"), r"'partial\.right' must be int, got str"),
    "partial seconds NaN": (put("partial", "seconds", value=NAN), r"'partial\.seconds' is nan"),
}


@pytest.mark.parametrize(("change", "text"), WRONG.values(), ids=WRONG)
def test_a_field_that_cannot_be_is_one_line(tmp_path: Path, written, change, text):
    state, go_on = written("sgd")
    change(state)
    checkpoint.save(tmp_path / "last.pt", state)
    with pytest.raises(CheckpointError, match=text) as caught:
        go_on()
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'last.pt'} cannot be gone on from: ")
    assert message.endswith("; start anew under another name")
    assert "\n" not in message


def test_the_state_of_every_optimiser_is_checked(tmp_path: Path, written, optimizer):
    state, go_on = written(optimizer)
    entries = state["optimizer"]["members"][0]["state"]
    number, values = next(iter(entries.items()))
    kept = copy.deepcopy(state)
    for name, value in values.items():
        for wrong, text in (
            (None, "is missing"),
            (torch.full_like(value, NAN), "holds NaN or infinity"),
            (torch.zeros(3, 3, 3), "of shape"),
            ("text", "must be a tensor, got str"),
        ):
            state = copy.deepcopy(kept)
            entry = state["optimizer"]["members"][0]["state"][number]
            if wrong is None:
                del entry[name]
                if not entry:
                    continue  # an empty state is that of a parameter without a gradient so far
            else:
                entry[name] = wrong
            checkpoint.save(tmp_path / "last.pt", state)
            with pytest.raises(CheckpointError, match=rf"state\.{number}\.{name}' .*{text}|{name}' {text}"):
                go_on()


def test_the_one_before_is_named_as_the_way_out(tmp_path: Path, written):
    state, go_on = written("sgd")
    checkpoint.save(tmp_path / "last.pt", state)
    del state["epochs"]
    checkpoint.save(tmp_path / "last.pt", state)
    with pytest.raises(
        CheckpointError, match=r"; rename last\.previous\.pt to last\.pt to go on from the one"
    ):
        go_on()


def test_settings_of_the_optimiser_come_from_the_recipe(tmp_path: Path, written):
    """What stands in the file's groups beside the parameters is not used: it could be anything."""
    state, go_on = written("sgd")
    for group in state["optimizer"]["members"][0]["param_groups"]:
        group |= {"momentum": NAN, "foreign": torch.zeros(2), "weight_decay": "much"}
    checkpoint.save(tmp_path / "last.pt", state)
    go_on()


def test_a_damaged_pickle_with_good_checksums_is_one_line(tmp_path: Path):
    """The zip around it is written anew: every checksum in it is right."""
    content = io.BytesIO()
    torch.save({"schema": 2, "epochs": [{"loss": 0.5}], "weights": {"a": torch.ones(4)}}, content)
    source = zipfile.ZipFile(content)
    noise = random.Random(0)
    refused: list[str] = []
    for _ in range(200):
        path = tmp_path / "last.pt"
        with zipfile.ZipFile(path, "w") as packed:
            for name in source.namelist():
                data = bytearray(source.read(name))
                if name.endswith("data.pkl"):
                    for _ in range(noise.randint(1, 6)):
                        data[noise.randrange(len(data))] = noise.randrange(256)
                packed.writestr(name, bytes(data))
        try:
            checkpoint.load(path)
        except CheckpointError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in message for message in refused)
