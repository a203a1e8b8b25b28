"""Loading: what is chosen in a file, what is said when nothing can be, and what is left behind: nothing."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from rfcalc.command.load import load_model
from rfcalc.command.options import parse_arguments
from rfcalc.command.target import Target
from rfcalc.errors import LoadError, UsageError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str, name: str = "model.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from torch import nn\n" + textwrap.dedent(text))
        return path

    return write_file


def load(path: Path, name: str = "", **arguments: object) -> nn.Module:
    return load_model(f"{path}:{name}" if name else str(path), arguments)


NET = "class Net(nn.Module):\n    pass\n"


class TestChoice:
    def test_an_instance_called_model_comes_first(self, write: Write) -> None:
        path = write(NET + "model = nn.Linear(1, 2)\ndef build_model(): return Net()\n")
        assert isinstance(load(path), nn.Linear)

    @pytest.mark.parametrize("name", ["build_model", "get_model"])
    def test_then_a_building_function(self, write: Write, name: str) -> None:
        assert isinstance(load(write(NET + f"def {name}(): return nn.Linear(1, 2)\n")), nn.Linear)

    def test_then_the_only_class_that_needs_nothing(self, write: Write) -> None:
        path = write(NET + "class Block(nn.Module):\n    def __init__(self, width): super().__init__()\n")
        assert type(load(path)).__name__ == "Net"

    def test_imported_classes_do_not_count(self, write: Write) -> None:
        assert type(load(write("from torch.nn import Identity, ReLU\n" + NET))).__name__ == "Net"

    def test_arguments_make_a_class_constructible(self, write: Write) -> None:
        path = write("class Net(nn.Linear):\n    def __init__(self, n):\n        super().__init__(1, n)\n")
        assert load(path, n=3).out_features == 3

    def test_a_name_chooses(self, write: Write) -> None:
        path = write(NET + "class Other(nn.Module): pass\n")
        assert type(load(path, "Other")).__name__ == "Other"

    def test_a_module_target_with_a_name(self) -> None:
        assert isinstance(load_model("torch.nn:Linear", {"in_features": 2, "out_features": 3}), nn.Linear)

    def test_a_script_guard_keeps_the_script_from_running(self, write: Write) -> None:
        load(write(NET + "if __name__ == '__main__':\n    raise RuntimeError('ran as a script')\n"))


class TestErrors:
    def test_two_models_are_named_with_the_commands_that_choose(self, write: Write) -> None:
        path = write(NET + "class Tiny(nn.Module): pass\n")
        with pytest.raises(LoadError, match=r"defines 2 models \(Net, Tiny\); choose one: ") as caught:
            load(path)
        assert f"python -m rfcalc {path}:Net | python -m rfcalc {path}:Tiny" in str(caught.value)

    def test_a_constructor_with_arguments_says_how_to_give_them(self, write: Write) -> None:
        path = write("class Net(nn.Module):\n    def __init__(self, width, depth): super().__init__()\n")
        with pytest.raises(
            LoadError, match=r"Net of .* needs width, depth: .*:Net --arg width=\.\.\. --arg depth="
        ):
            load(path)

    def test_an_argument_that_nobody_takes_is_named(self, write: Write) -> None:
        with pytest.raises(LoadError, match=r"Net of .* does not take widht; it takes width"):
            load(
                write("class Net(nn.Module):\n    def __init__(self, width=1): super().__init__()\n"),
                "Net",
                widht=1,
            )

    def test_no_model_says_what_would_be_one(self, write: Write) -> None:
        with pytest.raises(LoadError, match=r"holds no model: it needs an nn\.Module instance called model"):
            load(write("x = 1\n"))

    def test_an_unknown_name_lists_what_there_is(self, write: Write) -> None:
        with pytest.raises(LoadError, match=r"has no 'Nett'; did you mean python -m rfcalc .*model\.py:Net$"):
            load(write(NET), "Nett")

    def test_a_syntax_error_has_its_line(self, write: Write) -> None:
        with pytest.raises(LoadError, match=r"model\.py, line 2: syntax error: .*: def f\(:"):
            load(write("def f(:\n"))

    def test_what_raises_while_loading_has_its_line(self, write: Write) -> None:
        with pytest.raises(
            LoadError, match=r"raises while it loads at model\.py:3: ZeroDivisionError: division"
        ):
            load(write("x = 1\ny = x / 0\n"))

    def test_a_file_that_exits_is_told_about_the_script_guard(self, write: Write) -> None:
        with pytest.raises(
            LoadError, match=r"exits while it loads \(sys\.exit\(3\) at model\.py:2\).*__main__"
        ):
            load(write("import sys; sys.exit(3)\n"))

    def test_a_missing_import_is_named(self, write: Write) -> None:
        with pytest.raises(
            LoadError, match=r"does not import at model\.py:2: No module named 'no_such_package'"
        ):
            load(write("import no_such_package\n"))

    def test_a_constructor_that_raises_has_its_line(self, write: Write) -> None:
        path = write(
            "class Net(nn.Module):\n    def __init__(self):\n        raise ValueError('no weights')\n"
        )
        with pytest.raises(LoadError, match=r"Net\(\) raises at model\.py:4: ValueError: no weights"):
            load(path)

    def test_a_builder_must_return_a_module(self, write: Write) -> None:
        with pytest.raises(LoadError, match=r"build_model\(\) of .* returns a dict, not an nn\.Module"):
            load(write("def build_model(): return {}\n"))

    def test_arguments_have_nothing_to_go_to_in_an_instance(self, write: Write) -> None:
        with pytest.raises(LoadError, match=r"is built already, so --arg n has nothing to go to"):
            load(write("model = nn.ReLU()\n"), n=1)

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("no/such/file.py", "no such file"),
            ("weights.pt", "no such file"),
            ("not a module", "neither a Python file nor a module"),
            (
                "no_such_package.nets:Net",
                "No module named 'no_such_package'; a module target is looked for in",
            ),
        ],
    )
    def test_what_is_not_there(self, target: str, message: str) -> None:
        with pytest.raises(LoadError, match=message):
            load_model(target)

    def test_a_folder_and_a_checkpoint_are_no_python_files(self, tmp_path: Path) -> None:
        with pytest.raises(LoadError, match=r"is a folder; there is no Python file in it"):
            load_model(str(tmp_path))
        (tmp_path / "weights.pt").write_bytes(b"")
        with pytest.raises(
            LoadError, match=r"a PyTorch checkpoint.*; rfcalc reads the code that builds the network"
        ):
            load_model(str(tmp_path / "weights.pt"))

    def test_a_missing_file_shows_what_is_beside_it(self, write: Write) -> None:
        path = write(NET)
        with pytest.raises(LoadError, match=r"modle\.py: no such file; did you mean .*/model\.py\?"):
            load(path.with_name("modle.py"))


class TestNeighbours:
    def test_a_file_can_import_its_neighbours(self, write: Write) -> None:
        write("WIDTH = 7\n", "rfcalc_test_blocks.py")
        path = write("import rfcalc_test_blocks as b\nmodel = nn.Linear(1, b.WIDTH)\n")
        assert load(path).out_features == 7

    def test_two_folders_with_files_of_one_name_do_not_mix(self, tmp_path: Path, write: Write) -> None:
        for folder, width in (("a", 3), ("b", 5)):
            write(f"WIDTH = {width}\n", f"{folder}/rfcalc_test_blocks.py")
            write("import rfcalc_test_blocks as b\nmodel = nn.Linear(1, b.WIDTH)\n", f"{folder}/model.py")
        assert [load(tmp_path / folder / "model.py").out_features for folder in "aba"] == [3, 5, 3]

    def test_a_module_of_the_same_name_from_elsewhere_is_set_aside_and_comes_back(
        self, write: Write, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        (elsewhere / "rfcalc_test_blocks.py").write_text("WIDTH = 1\n")
        monkeypatch.syspath_prepend(str(elsewhere))
        before = __import__("rfcalc_test_blocks")
        write("WIDTH = 7\n", "rfcalc_test_blocks.py")
        try:
            path = write("import rfcalc_test_blocks as b\nmodel = nn.Linear(1, b.WIDTH)\n")
            assert load(path).out_features == 7
            assert sys.modules["rfcalc_test_blocks"] is before
        finally:
            del sys.modules["rfcalc_test_blocks"]

    def test_nothing_is_left_in_the_process(self, write: Write) -> None:
        write("", "rfcalc_test_blocks.py")
        path = write("import rfcalc_test_blocks\n" + NET, "rfcalc_test_model.py")
        modules, places = set(sys.modules), list(sys.path)
        load(path)
        assert set(sys.modules) == modules
        assert sys.path == places

    def test_a_file_named_like_a_standard_module_does_not_replace_it(self, write: Write) -> None:
        import types

        load(write(NET, "types.py"))
        assert sys.modules["types"] is types

    def test_a_file_with_a_name_that_is_no_identifier_loads(self, write: Write) -> None:
        assert type(load(write(NET, "my-model.v2.py"))).__name__ == "Net"

    def test_a_dataclass_in_the_file_finds_its_module(self, write: Write) -> None:
        text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        path = write("")
        path.write_text(text + "from torch import nn\n@dataclass\nclass Config:\n    width: int = 1\n" + NET)
        assert type(load(path)).__name__ == "Net"


class TestTarget:
    @pytest.mark.parametrize(
        ("text", "module", "name"),
        [
            ("torchvision.models:resnet50", "torchvision.models", "resnet50"),
            ("package.module:Outer.Net", "package.module", "Outer.Net"),
            ("package.module", "package.module", ""),
        ],
    )
    def test_a_module_target_is_taken_apart(self, text: str, module: str, name: str) -> None:
        target = Target.parse(text)
        assert (target.path, target.module, target.name) == (None, module, name)

    def test_a_file_target_is_taken_apart(self, write: Write) -> None:
        path = write(NET)
        target = Target.parse(f"{path}:Net")
        assert (target.path, target.name, target.folder) == (path.resolve(), "Net", path.resolve().parent)


class TestArguments:
    def test_literals_are_read_and_the_rest_stays_text(self) -> None:
        texts = ["weights=None", "widths=(8, 16)", "name=relu", "p=0.5", "eq=a=b"]
        assert parse_arguments(texts) == {
            "weights": None,
            "widths": (8, 16),
            "name": "relu",
            "p": 0.5,
            "eq": "a=b",
        }

    @pytest.mark.parametrize("text", ["weights", "=3", "a b=3"])
    def test_what_is_no_pair_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError, match=r"write name=value"):
            parse_arguments([text])
