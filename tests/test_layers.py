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
    "export": {"rfcalc", "models", "training", "records"},
    # rfcalc: the error of a network that --model names.
    "serve": {"rfcalc", "models", "records", "training", "export"},
    "train": {"rfcalc", "models", "training", "records", "reports"},
}
OURS = set(ALLOWED)
WORDS = {"errors", "text", "_version"}
RUNS = {"errors", "mistakes", "progress", "effective", "runs", "targets"}
# Inside of a package: what a folder, or a file beside the folders, may know of: those before it.
FOLDERS: dict[str, dict[str, set[str]]] = {
    "rfcalc": {
        "_version": set(),
        "errors": set(),
        "text": set(),
        "trace": WORDS,
        "maps": WORDS,
        "ops": WORDS | {"trace", "maps"},
        "analysis": WORDS | {"trace", "maps", "ops"},
        "questions": WORDS | {"trace", "maps", "ops", "analysis"},
        "render": WORDS | {"maps", "analysis", "questions"},
        "onnx": WORDS | {"trace"},
        "command": WORDS | {"trace", "maps", "analysis", "questions", "render", "onnx"},
        "testing": WORDS | {"analysis", "render"},
        "pytest_plugin": WORDS | {"command"},
        # The package itself names everything.
        "__init__": WORDS | {"trace", "maps", "ops", "analysis", "questions", "render", "command", "testing"},
        "__main__": {"command"},
    },
    "reports": {
        "__init__": set(),
        "errors": set(),
        "mistakes": set(),
        "progress": set(),
        "effective": set(),
        "runs": {"errors", "mistakes"},
        "targets": {"errors", "runs"},
        "tables": RUNS,
        "figures": RUNS | {"tables"},
        "pages": RUNS | {"tables"},
        "__main__": RUNS | {"tables", "figures", "pages"},
    },
}
PARTS = [(package, part) for package, parts in FOLDERS.items() for part in parts]
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


def imported_modules(source: str, package: str) -> set[str]:
    """Dotted names of the modules of `package` that `source` imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides where it points"
            module = node.module or ""
            # `from rfcalc import testing` names a module, `from rfcalc.text import shape` a part of one.
            found |= {f"{package}.{alias.name}" for alias in node.names} if module == package else {module}
    return {name for name in found if name.partition(".")[0] == package}


def backward_arrows(source: str, package: str, part: str) -> set[str]:
    """Names of the parts of a package that `source`, a file of `part`, imports though it may not."""
    modules = imported_modules(source, package)
    parts = {name.split(".")[1] if "." in name else "__init__" for name in modules}
    return parts - {part} - FOLDERS[package][part]


@pytest.mark.parametrize(("package", "part"), PARTS, ids="/".join)
def test_imports_inside_of_a_package_point_one_way(package: str, part: str) -> None:
    folder = ROOT / package / part
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    for path in files:
        wrong = backward_arrows(path.read_text(encoding="utf-8"), package, part)
        assert not wrong, (
            f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}: the arrow points back"
        )


@pytest.mark.parametrize("package", FOLDERS)
def test_every_part_of_a_package_is_in_the_table(package: str) -> None:
    parts = {path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py"}
    parts |= {path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").is_file()}
    assert parts == set(FOLDERS[package])


@pytest.mark.parametrize("package", FOLDERS)
def test_no_two_parts_of_a_package_know_of_each_other(package: str) -> None:
    known = {part: set(parts) for part, parts in FOLDERS[package].items()}
    while known:
        free = [part for part, parts in known.items() if not parts & known.keys()]
        assert free, f"a circle: {', '.join(known)}"
        for part in free:
            del known[part]


def test_an_arrow_that_points_back_is_seen() -> None:
    source = "from rfcalc import text\ndef f():\n    from rfcalc.render.columns import extent\n"
    assert backward_arrows(source, "rfcalc", "questions") == {"render"}
    assert backward_arrows("import rfcalc\n", "rfcalc", "analysis") == {"__init__"}
    assert backward_arrows("from reports.pages import parts\n", "reports", "tables") == {"pages"}
    assert backward_arrows("import rfcalc\nimport reports.runs\n", "reports", "tables") == set()


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
    """Anything else may be imported by rfcalc only where the extra `plot` or `onnx` brings it."""
    import sys

    allowed = sys.stdlib_module_names | {"torch", "rich", "rfcalc"}
    for path in _files("rfcalc"):
        extra = imported(path.read_text(encoding="utf-8")) - allowed
        brought = {"onnx", "google", "numpy"} if path.parent.name == "onnx" else {"matplotlib"}
        if path.name == "pytest_plugin.py":
            brought = {"pytest"}  # which loads it
        assert extra <= brought, f"{path.name} imports {extra}"


SEARCH = {
    "propose": set[str](),
    "execute": set[str](),
    "keep": {"propose"},
    "show": {"execute", "keep"},
    "session": {"propose", "execute", "keep", "show"},
}
"""Which folder of the search may use which others; all may use its files that lie in no folder."""


def test_the_folders_of_the_search_point_one_way() -> None:
    for part, allowed in SEARCH.items():
        files = sorted((ROOT / "search" / part).rglob("*.py"))
        assert files, f"search/{part} is empty"
        for path in files:
            wrong = modules(path.read_text(encoding="utf-8"), "search") - {part} - allowed
            assert not wrong & set(SEARCH), f"search/{part}/{path.name} imports {', '.join(sorted(wrong))}"
    for path in sorted((ROOT / "search").glob("*.py")):
        if path.stem != "__main__":
            wrong = modules(path.read_text(encoding="utf-8"), "search") & set(SEARCH)
            assert not wrong, f"search/{path.name} imports {', '.join(sorted(wrong))}"


def modules(source: str, package: str) -> set[str]:
    """Names below `package` of the absolute imports in `source`: "keep" of `from search.keep import x`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from search import keep` names a folder, too.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        parts = [name.split(".") for name in names]
        found |= {part[1] for part in parts if part[0] == package and len(part) > 1}
    return found


def test_the_reader_of_folders_sees_every_form() -> None:
    source = "import search.propose.space\nfrom search import show\nfrom search.keep.folder import make\n"
    assert modules(source, "search") == {"propose", "show", "keep"}
