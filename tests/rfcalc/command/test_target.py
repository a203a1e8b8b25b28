"""Where models live: packages, src layouts, scripts that import them, and files that are no code."""

from __future__ import annotations

import os
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from rfcalc.command.cli import main
from rfcalc.command.load import build, load_model
from rfcalc.command.running import importable
from rfcalc.command.target import MAX_SOURCE, Target
from rfcalc.errors import LoadError
from rfcalc.trace.prepare import prepared as prepared  # loaded before modules are counted

Put = Callable[[str, str], Path]

BLOCK = """from torch import nn
class Block(nn.Sequential):
    def __init__(self, i=3, o=8):
        super().__init__(nn.Conv2d(i, o, 3))
"""
NET = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Block(3, 8)
"""


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def put_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put_file


class TestLayouts:
    @pytest.mark.parametrize(
        ("blocks", "net", "line"),
        [
            ("src/blocks.py", "src/net.py", "from src.blocks import Block"),
            ("src/blocks.py", "src/deep/er/net.py", "from src.blocks import Block"),
            ("rfcalc_lib/blocks.py", "scripts/net.py", "from rfcalc_lib.blocks import Block"),
            ("rfcalc_pkg/blocks.py", "rfcalc_pkg/net.py", "from .blocks import Block"),
            ("rfcalc_pkg/blocks.py", "rfcalc_pkg/nets/net.py", "from ..blocks import Block"),
            (
                "rfcalc_pkg/nets/blocks.py",
                "rfcalc_pkg/nets/net.py",
                "from rfcalc_pkg.nets.blocks import Block",
            ),
        ],
    )
    @pytest.mark.parametrize("with_init", [True, False], ids=["package", "bare folder"])
    def test_a_file_of_a_project_loads_from_anywhere(
        self, blocks: str, net: str, line: str, with_init: bool, put: Put, tmp_path: Path
    ) -> None:
        put(blocks, BLOCK)
        path = put(net, f"from torch import nn\n{line}\n{NET}")
        for folder in {*Path(blocks).parents, *Path(net).parents} - {Path()} if with_init else ():
            put(f"{folder}/__init__.py", "")
        modules, places, finders = set(sys.modules), list(sys.path), list(sys.meta_path)
        assert isinstance(load_model(str(path)), nn.Module)
        assert set(sys.modules) == modules
        assert (sys.path, sys.meta_path) == (places, finders)

    def test_two_projects_of_one_layout_do_not_mix(self, put: Put) -> None:
        paths = []
        for name, width in (("a", 3), ("b", 5)):
            put(f"{name}/src/blocks.py", f"WIDTH = {width}\n")
            text = "from torch import nn\nfrom src.blocks import WIDTH\nmodel = nn.Linear(1, WIDTH)\n"
            paths.append(put(f"{name}/src/net.py", text))
        assert [load_model(str(path)).out_features for path in (*paths, *paths)] == [3, 5, 3, 5]

    def test_what_is_installed_goes_before_what_lies_above(self, put: Put) -> None:
        put("torch/__init__.py", "raise RuntimeError('the wrong one')\n")
        assert load_model(str(put("src/net.py", "from torch import nn\nmodel = nn.ReLU()\n")))

    def test_a_package_that_is_nowhere_is_named(self, put: Put) -> None:
        with pytest.raises(LoadError, match="rfcalc_none is not installed here"):
            load_model(str(put("net.py", "import rfcalc_none\n")))

    def test_a_link_stands_for_its_file(self, put: Put, tmp_path: Path) -> None:
        put("real/rfcalc_test_blocks.py", BLOCK)
        put("real/net.py", f"from torch import nn\nfrom rfcalc_test_blocks import Block\n{NET}")
        (tmp_path / "link.py").symlink_to("real/net.py")
        assert type(load_model(str(tmp_path / "link.py"))).__name__ == "Net"


class TestScripts:
    def test_an_imported_class_is_followed_to_its_file(self, put: Put) -> None:
        put("rfcalc_test_blocks.py", BLOCK)
        path = put(
            "train.py", "from rfcalc_test_blocks import Block\nif __name__ == '__main__':\n    Block()\n"
        )
        with importable(target := Target.parse(str(path))):
            loaded = build(target, {})
        assert type(loaded.model).__name__ == "Block"
        assert loaded.notes[0].endswith("rfcalc_test_blocks.py")

    def test_the_files_own_class_goes_before_an_imported_one(self, put: Put) -> None:
        put("rfcalc_test_blocks.py", BLOCK)
        path = put("net.py", f"from torch import nn\nfrom rfcalc_test_blocks import Block\n{NET}")
        assert type(load_model(str(path))).__name__ == "Net"

    @pytest.mark.parametrize(
        "text",
        [
            "def main():\n    from nets.block import Block\n",
            "if __name__ == '__main__':\n    from nets.block import Block\n    model = Block()\n",
        ],
        ids=["function", "guard"],
    )
    def test_one_imported_inside_is_named_with_the_command(self, text: str, put: Put) -> None:
        file = put("nets/block.py", BLOCK)
        with pytest.raises(LoadError, match="holds no model") as caught:
            load_model(str(put("train.py", text)))
        assert str(caught.value).endswith(f"it imports one: python -m rfcalc {file}:Block")

    def test_two_imported_ones_are_a_choice(self, put: Put) -> None:
        put("rfcalc_test_blocks.py", BLOCK + "class Other(Block): pass\n")
        path = put("train.py", "from rfcalc_test_blocks import Block, Other\n")
        with pytest.raises(LoadError, match=r"2 models \(Block, Other\); choose one: .*train\.py:Block"):
            load_model(str(path))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "def build_model(): return nn.ReLU(), None\n",
                r"returns a tuple.*return the module alone: .* \[0\]",
            ),
            ("def build_model(): return {'net': nn.ReLU()}\n", r"returns a dict.*it is at \['net'\]"),
            ("import torch\nmodel = torch.jit.script(nn.ReLU())\n", "TorchScript .* name the eager module"),
            (
                "import torch\ndef build_model(): return torch.export.export(nn.ReLU(), (torch.zeros(1),))\n",
                "a torch.export program.* name the eager module",
            ),
        ],
    )
    @pytest.mark.filterwarnings("ignore:`torch.jit")
    def test_what_a_builder_returns_that_is_no_network(
        self, text: str, message: str, put: Put, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(put("model.py", "from torch import nn\n" + text)), "--no-budget"]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert re.search(message, error), error


class TestForeignFiles:
    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("w.pt", "a PyTorch checkpoint"),
            ("w.pth", "a PyTorch checkpoint"),
            ("W.PTH.TAR", "a PyTorch checkpoint"),
            ("w.ckpt", "a PyTorch checkpoint"),
            ("w.safetensors", "a safetensors file"),
            ("w.h5", "a Keras or HDF5 model, which PyTorch does not run"),
            ("w.keras", "a Keras or HDF5 model"),
            ("w.tflite", "a TensorFlow model"),
            ("w.pkl", "a pickle"),
            ("w.yaml", "a configuration"),
            ("w.zip", "an archive; unpack it first"),
            ("w.so", "compiled code"),
            ("w.xyz", "no Python file (its name ends in .xyz)"),
            ("w", "no Python file"),
        ],
    )
    def test_each_is_named_with_the_way_out(
        self, name: str, what: str, put: Put, capsys: pytest.CaptureFixture[str]
    ) -> None:
        put("model.py", "")
        assert main([str(put(name, "not code"))]) == 2
        error = capsys.readouterr().err
        assert f" is {what}" in error
        assert "name the .py file that does; in that folder: model.py\n" in error
        assert error.count("\n") == 1

    def test_a_torch_export_program_is_never_opened(
        self, put: Put, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(put("net.pt2", "PK\x03\x04"))]) == 2
        error = capsys.readouterr().err
        assert "opening it unpickles parts of it, which runs whatever is in them" in error
        assert "torch.onnx.export(torch.export.load('net.pt2'), dynamo=True).save('net.onnx')" in error
        assert error.count("\n") == 1

    @pytest.mark.parametrize(
        ("entry", "what"),
        [("net/code/__torch__.py", "a TorchScript archive"), ("net/data.pkl", "a PyTorch checkpoint")],
    )
    def test_the_content_says_more_than_the_name(self, entry: str, what: str, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "net.bin", "w") as archive:
            archive.writestr(entry, "")
        with pytest.raises(LoadError, match=f"net.bin is {what}"):
            Target.parse(str(tmp_path / "net.bin"))

    def test_a_broken_archive_is_named_by_its_ending(self, put: Put) -> None:
        with pytest.raises(LoadError, match="is a PyTorch checkpoint"):
            Target.parse(str(put("w.pt", "PK\x03\x04 and no more")))

    def test_a_pipe_a_device_and_a_dead_link_are_not_read(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.py")
        (tmp_path / "dead.py").symlink_to("nowhere.py")
        with pytest.raises(LoadError, match="is a pipe or a device"):
            Target.parse(str(tmp_path / "pipe.py"))
        with pytest.raises(LoadError, match=r"no such file \(a link to nowhere.py, which is not there\)"):
            Target.parse(str(tmp_path / "dead.py"))
        (tmp_path / "loop.py").symlink_to("loop.py")
        with pytest.raises(LoadError, match="loop"):
            Target.parse(str(tmp_path / "loop.py"))

    def test_a_huge_file_is_no_source_text(self, tmp_path: Path) -> None:
        with (tmp_path / "huge.py").open("wb") as file:
            file.truncate(MAX_SOURCE + 1)
        with pytest.raises(LoadError, match="more than the 67,108,864 of any source text"):
            Target.parse(str(tmp_path / "huge.py"))

    @pytest.mark.parametrize("place", ["runs/best/model.py", "runs/model.py"])
    def test_a_run_folder_stands_for_the_model_in_it(self, put: Put, tmp_path: Path, place: str) -> None:
        put(place, "")
        assert Target.parse(str(tmp_path / "runs")).path == (tmp_path / place).resolve()

    def test_a_folder_names_the_files_that_are_there(self, put: Put, tmp_path: Path) -> None:
        put("runs/other/model.py", "")
        with pytest.raises(
            LoadError, match=r"runs is a folder; name a file in it, such as .*runs/other/model\.py$"
        ):
            Target.parse(str(tmp_path / "runs"))
        (tmp_path / "empty").mkdir()
        with pytest.raises(LoadError, match="empty is a folder; there is no Python file in it"):
            Target.parse(str(tmp_path / "empty"))
