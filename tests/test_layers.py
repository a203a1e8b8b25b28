"""The direction of imports, read from the source: an arrow that points back fails here."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED: dict[str, set[str]] = {
    "rfcalc": set(),
    "models": set(),
    "records": set(),
    "training": {"models", "records"},
    # What train.py does: it may judge and draw, as the command line that it belongs to.
    "training/command": {"rfcalc", "models", "training", "records", "reports"},
    "reports": {"rfcalc", "records"},
    "search": {"rfcalc", "models", "training", "records"},
    "train": {"rfcalc", "models", "training", "records", "reports"},
}
OURS = set(ALLOWED)
# The command line of the search alone may call the reports: it ends by writing one.
EXCEPTIONS = {("search/__main__.py", "reports")}


def _files(part: str) -> list[Path]:
    if part == "train":
        return [ROOT / "train.py"]
    inner = [ROOT / other for other in ALLOWED if other.startswith(f"{part}/")]
    found = sorted((ROOT / part).rglob("*.py"))
    return [path for path in found if not any(path.is_relative_to(folder) for folder in inner)]


def imported(source: str) -> set[str]:
    """Top-level names of the absolute imports in `source`, inside functions and TYPE_CHECKING too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found.add(argument.value.partition(".")[0])
    return found


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_point_one_way(part: str) -> None:
    files = _files(part)
    assert files, f"{part} is empty"
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        wrong = imported(path.read_text(encoding="utf-8")) & OURS - {part} - ALLOWED[part]
        wrong -= {target for source, target in EXCEPTIONS if source == name}
        assert not wrong, f"{name} imports {', '.join(sorted(wrong))}, which may not know of {part}'s side"


def test_the_training_library_knows_nothing_of_its_command() -> None:
    for part in ("training", "search", "models", "records"):
        for path in _files(part):
            source = path.read_text(encoding="utf-8")
            assert "training.command" not in source, f"{path.name} imports the command line of train.py"


def test_the_reader_of_imports_sees_every_form() -> None:
    source = "import search.propose.space\nfrom . import x\n"
    source += "def f():\n    from training import loop\n    import_module('reports.pages.page')\n"
    assert imported(source) == {"search", "training", "reports"}


def test_the_library_needs_torch_and_rich_alone() -> None:
    """Anything else may be imported by rfcalc only where the extra `plot` brings it."""
    import sys

    allowed = sys.stdlib_module_names | {"torch", "rich", "rfcalc"}
    for path in _files("rfcalc"):
        extra = imported(path.read_text(encoding="utf-8")) - allowed
        assert extra <= {"matplotlib"}, f"{path.name} imports {extra}"
