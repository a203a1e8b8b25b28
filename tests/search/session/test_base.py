"""The network that --base names, in the grammar of targets."""

import json
from pathlib import Path

import pytest

from models.presets import PRESETS
from search.errors import SearchError
from search.propose.target import spec_named


def test_a_preset_a_spec_and_a_run_folder_have_widths_to_search(tmp_path: Path) -> None:
    spec = PRESETS["wide"].to_json()
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "run.json").write_text(json.dumps({"schema": 2, "spec": spec}))
    for name in ("wide", str(tmp_path / "spec.json"), str(tmp_path)):
        assert spec_named("--base", name, "it is lost") == PRESETS["wide"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("widde", r"--base widde: .*; did you mean wide \(preset\)\?"),
        ("resnet20", r"--base resnet20: no spec describes it .*"),
        ("no.json", r"--base no\.json: no such file"),
    ],
)
def test_another_base_is_refused(name: str, message: str) -> None:
    with pytest.raises(SearchError, match=message.replace("it .*", "it, so its widths")):
        spec_named("--base", name, "its widths")
