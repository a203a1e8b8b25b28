import pytest

from training.command.arguments import parse


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
        ("--weights w", "--weights means nothing in a training"),
        (
            "--seed 9223372036854775808",
            "argument --seed: must be at most 9223372036854775807, got 9223372036854775808",
        ),
        ("--deter", "unrecognized arguments: --deter"),
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
        "--preset tiny --teacher runs/x --compile on --augment gpu --full",
    ],
)
def test_flags_that_belong_together_are_taken(words):
    assert parse(words.split())


@pytest.mark.parametrize("words", ["--preset a --spec b", "--from a --model b", "--evaluate a --predict b"])
def test_two_answers_to_one_question_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        parse(words.split())
    assert "not allowed with argument" in capsys.readouterr().err
