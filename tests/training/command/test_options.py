from dataclasses import fields

import pytest

from records.settings import RunSettings, settings_of
from training.command.options import Options, parse, word
from training.fit.recipe import POLICIES


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--predict a.png", "--predict needs --weights: the folder of a run, or its best.safetensors"),
        ("--predict a.png --weights w --epochs 3", "--epochs means nothing with --predict"),
        ("--evaluate runs/x --preset tiny", "--preset means nothing with --evaluate"),
        ("--evaluate runs/x --out other", "--out means nothing with --evaluate"),
        ("--show-augmentation --tta", "--tta means nothing with --show-augmentation"),
        ("--from runs/x --recipe fast", "--recipe means nothing with --from"),
        ("--preset tiny --split test", "--split means nothing in a training"),
        ("--arg width=3", "--arg needs --model or --preset: the class or function that takes it"),
        ("--preset resnet8 --pretrained --arg a=3", "--arg means nothing with --pretrained"),
        ("--evaluate runs/x --set lr=1", "--set means nothing with --evaluate"),
        ("--from runs/x --set lr=1", "--set means nothing with --from"),
        ("--list-presets --recipe fast", "--recipe means nothing with --list-presets"),
        ("--weights w", "--weights means nothing in a training"),
        (
            "--seed 9223372036854775808",
            "argument --seed: must be at most 9223372036854775807, got 9223372036854775808",
        ),
        ("--deter", "unrecognized arguments: --deter; did you mean --deterministic?"),
    ],
    ids=lambda value: value,
)
def test_flags_that_would_be_passed_over_are_refused(words, line, capsys):
    with pytest.raises(SystemExit) as leave:
        parse(words.split())
    assert leave.value.code == 2
    assert capsys.readouterr().err == f"train.py: error: {line} (--help lists the flags)\n"


@pytest.mark.parametrize(
    "words",
    [
        "--evaluate runs/x --split test --tta --data d --device cpu --debug",
        "--predict a.png b.png --weights w --model net.py",
        "--show-augmentation --policy strong --seed 3 --output x.png",
        "--from runs/x --seed 3 --name again --resume --tensorboard",
        "--from runs/x --resize 32 --deterministic",
        "--recipe standard --set lr=0.05 --set batch_size=12 --epochs 3 --print-recipe",
        "--list-presets",
        "--model net.py:Net --arg width=3 --arg depth=2",
        "--preset tiny --teacher runs/x --compile on --augment gpu --full",
    ],
)
def test_flags_that_belong_together_are_taken(words):
    assert parse(words.split()).given


@pytest.mark.parametrize("words", ["--preset a --spec b", "--from a --model b", "--evaluate a --predict b"])
def test_two_answers_to_one_question_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        parse(words.split())
    assert "not allowed with argument" in capsys.readouterr().err


def test_the_help_names_every_policy_and_no_flag_is_without_help(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"augmentation policy instead of the recipe's: {', '.join(POLICIES)}" in text
    for each in fields(Options):
        assert word(each.name) in text
        assert each.metadata["flag"].help


def test_every_setting_of_a_run_is_an_option_with_the_same_default():
    assert settings_of(Options()) == RunSettings()


def test_a_misspelt_flag_is_met_with_the_right_one(capsys):
    with pytest.raises(SystemExit):
        parse(["--epoch", "3"])
    line = (
        "train.py: error: unrecognized arguments: --epoch; did you mean --epochs? (--help lists the flags)\n"
    )
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    "name", ["--epochs", "--out", "--cache", "--spec", "--teacher", "--device", "--name"]
)
def test_a_password_is_not_echoed(capsys, name):
    with pytest.raises(SystemExit):
        parse([name, "postgresql://anna:secret@host/db"])
    error = capsys.readouterr().err
    assert "secret" not in error
    assert "'postgresql://anna:***@host/db'" in error
