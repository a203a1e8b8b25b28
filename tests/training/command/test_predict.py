import io
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from safetensors import safe_open

import train
from models.net import build
from models.spec import NetSpec
from training.command.repeat import read_run


def _chances(folder, image: Image.Image) -> list[tuple[float, str]]:
    """The same by hand, with what the weights say of themselves."""
    with safe_open(folder / "best.safetensors", framework="pt") as file:
        metadata = {key: json.loads(text) for key, text in file.metadata().items()}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model = build(NetSpec.from_json(metadata["spec"])).eval()
    model.load_state_dict(weights)
    mean, std = (torch.tensor(metadata["normalisation"][key]) for key in ("mean", "std"))
    pixels = (torch.from_numpy(np.array(image)).float() - mean) / std
    with torch.no_grad():
        found = model(pixels.permute(2, 0, 1)[None]).softmax(1)[0].tolist()
    return sorted(zip(found, metadata["classes"], strict=True), reverse=True)


def test_one_image_gives_its_classes_the_likeliest_first(finished, data, capsys):
    folder = finished("held")
    path = f"{data[1]}/test/red/0.png"
    capsys.readouterr()  # of the training
    assert train.main(["--predict", path, "--weights", str(folder)]) == 0
    out = capsys.readouterr().out
    wanted = _chances(folder, Image.open(path))
    rows = [line.split() for line in out.splitlines() if "%" in line]
    assert [row[0] for row in rows] == [name for _, name in wanted]
    assert [float(row[1].rstrip("%")) for row in rows] == pytest.approx(
        [100 * share for share, _ in wanted], abs=0.051
    )
    assert "brought to" not in out
    assert out.splitlines()[-1].startswith(f"next  python -m serve {folder}  # ")


def test_an_image_of_another_size_is_resized_and_that_is_said(finished, tmp_path, capsys):
    folder = finished("held")
    wide = Image.linear_gradient("L").resize((90, 60)).convert("RGB")
    wide.save(tmp_path / "wide.png")
    capsys.readouterr()
    assert train.main(["--predict", str(tmp_path / "wide.png"), "--weights", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "wide.png: brought to the network's 32x32 (scaled to fit, the longer side cut evenly)" in out
    wanted = _chances(folder, ImageOps.fit(wide, (32, 32), Image.Resampling.BICUBIC))
    assert [line.split()[0] for line in out.splitlines() if "%" in line] == [name for _, name in wanted]


def test_a_terminal_of_another_encoding_and_a_name_like_an_emoji_are_no_harm(
    finished, data, tmp_path, monkeypatch
):
    path = shutil.copy(f"{data[1]}/test/red/0.png", tmp_path / "a:cat:.png")
    printed = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", printed)
    assert train.main(["--predict", str(path), "--weights", str(finished("held"))]) == 0
    printed.flush()
    text = printed.buffer.getvalue().decode("latin-1")
    assert "a:cat:.png" in text
    assert "??" in text  # a bar


def test_several_images_take_a_row_each(finished, data, tmp_path, capsys):
    folder = finished("held")
    Image.new("L", (8, 8), 200).save(tmp_path / "grey.png")
    paths = [f"{data[1]}/test/red/0.png", f"{data[1]}/test/blue/0.png", str(tmp_path / "grey.png")]
    assert train.main(["--predict", *paths, "--weights", str(folder / "best.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "1 of 3 images: brought to the network's 32x32" in out
    assert out.count("8x8") == 1
    for path in paths[:2]:
        assert f"{_chances(folder, Image.open(path))[0][0]:.1%}" in out


def test_what_is_no_image_is_one_line(finished, refused, tmp_path):
    folder = str(finished("held"))
    (tmp_path / "text.png").write_text("not a picture")
    assert "text.png: cannot be decoded (not an image)" in refused(
        "--predict", str(tmp_path / "text.png"), "--weights", folder
    )
    assert "none.png: cannot be read (No such file or directory)" in refused(
        "--predict", str(tmp_path / "none.png"), "--weights", folder
    )
    Image.new("RGB", (64, 64)).save(tmp_path / "half.png")
    whole = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    assert "half.png: cannot be decoded" in refused(
        "--predict", str(tmp_path / "half.png"), "--weights", folder
    )


def test_the_folder_of_a_search_is_its_winner(finished, data, refused, tmp_path, capsys):
    search = tmp_path / "n"
    search.mkdir()
    (search / "search.json").write_text("{}")
    words = ["--predict", f"{data[1]}/test/red/0.png", "--weights", str(search)]
    assert refused(*words) == (
        f"{search}: this search has no winner yet; wait for its end, or continue it with "
        f"python -m search --resume --name n --out {tmp_path}"
    )
    assert "has no winner yet" in refused("--teacher", str(search), *data, "--out", str(tmp_path / "runs"))
    held = finished("held")
    capsys.readouterr()
    assert train.main([*words[:3], str(held)]) == 0
    wanted = capsys.readouterr().out
    shutil.copytree(held, search / "best")
    assert train.main(words) == 0
    assert capsys.readouterr().out == wanted.replace(str(held), str(search))
    assert train.main(["--evaluate", str(search)]) == 0
    assert "as run.json says" in capsys.readouterr().out
    assert read_run(search) == read_run(held)
