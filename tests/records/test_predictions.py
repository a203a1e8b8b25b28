import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from records.codec import RecordError
from records.predictions import Predictions

GOOD: dict[str, Any] = {
    "labels": np.array([0, 1, 2]),
    "predictions": np.array([0, 2, 2]),
    "confidence": np.array([0.5, 1.0, 0.9], np.float32),
    "classes": np.array(["a", "b", "c"]),
}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "p.npz", **GOOD)
    found = Predictions.read(tmp_path / "p.npz", 3)
    assert found.labels.tolist() == [0, 1, 2]
    assert found.predictions.tolist() == [0, 2, 2]
    assert found.confidence.tolist() == pytest.approx([0.5, 1.0, 0.9])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"labels": np.array([0, 1, 3])}, "labels must be whole numbers from 0 to 2"),
        ({"predictions": np.array([0, -1, 2])}, "predictions must be whole numbers from 0 to 2"),
        ({"labels": np.array([0.0, 1.0, 2.0])}, r"labels must be a row of whole numbers, got float64"),
        ({"labels": np.array(["a", "b", "c"])}, "labels must be a row of whole numbers, got <U1"),
        ({"labels": np.array([[0, 1, 2]])}, r"got int64 of shape \(1, 3\)"),
        ({"labels": np.array(5)}, r"got int64 of shape \(\)"),
        ({"confidence": np.array([0.5, np.nan, 1])}, "confidence must be numbers from 0 to 1"),
        ({"confidence": np.array([0.5, 1.5, 1])}, "confidence must be numbers from 0 to 1"),
        ({"confidence": np.array([0.5, 1])}, "as many as each other and at least one, got 3, 3, 2"),
        ({"confidence": np.array([1, 1, 1j])}, "confidence must be a row of numbers, got complex128"),
        ({name: GOOD[name][:0] for name in ("labels", "predictions", "confidence")}, "got 0, 0, 0"),
    ],
)
def test_arrays_that_cannot_be_are_refused(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    np.savez(tmp_path / "p.npz", **(GOOD | change))
    with pytest.raises(RecordError, match=text):
        Predictions.read(tmp_path / "p.npz", 3)


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", labels=GOOD["labels"])
    with pytest.raises(RecordError, match=r"lacks an array: .*predictions"):
        Predictions.read(tmp_path / "p.npz", 3)


class _Trap:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def test_what_is_no_archive_is_one_error_and_never_run(tmp_path: Path) -> None:
    path, whole = tmp_path / "p.npz", io.BytesIO()
    np.savez(whole, **GOOD)
    array, text = io.BytesIO(), io.BytesIO()
    np.save(array, GOOD["labels"])
    with zipfile.ZipFile(text, "w") as archive:
        for name in GOOD:
            archive.writestr(f"{name}.npy", "no array")
    huge = io.BytesIO()
    with zipfile.ZipFile(huge, "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<i8", "fortran_order": False, "shape": (1 << 55,)}
        )
        archive.writestr("labels.npy", header.getvalue())
    objects = {**GOOD, "labels": np.array([_Trap(tmp_path / "sprung")], dtype=object)}
    pickled = io.BytesIO()
    np.savez(pickled, **objects)
    for content in (
        b"",
        b"text",
        whole.getvalue()[:-30],
        whole.getvalue()[:200],
        array.getvalue(),
        text.getvalue(),
        huge.getvalue(),
        pickled.getvalue(),
        pickle.dumps(_Trap(tmp_path / "sprung")),
    ):
        path.write_bytes(content)
        with pytest.raises(RecordError, match=r"p\.npz: ") as caught:
            Predictions.read(path, 3)
        # NumPy's advice to load objects all the same, or how: it would run what the file holds.
        assert "allow_pickle" not in str(caught.value)
        assert "pickle.load" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(RecordError, match=r"none\.npz: cannot be read"):
        Predictions.read(tmp_path / "none.npz", 3)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path, header = tmp_path / "p.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<i8", "fortran_order": False, "shape": (9 << 23,)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("labels.npy", "w") as file:
        file.write(header.getvalue())
        for _ in range(9):
            file.write(bytes(8 << 23))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(RecordError, match=r"p\.npz: unpacks to 603,979,\d+ bytes, more than 536,870,912"):
        Predictions.read(path, 3)


def test_damage_anywhere_is_one_error(tmp_path: Path) -> None:
    whole, path = io.BytesIO(), tmp_path / "p.npz"
    np.savez_compressed(whole, **GOOD)
    content, random = whole.getvalue(), np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(random.integers(1, 4)):
            damaged[random.integers(len(damaged))] = random.integers(256)
        path.write_bytes(damaged)
        try:
            Predictions.read(path, 3)
        except RecordError:
            refused += 1
    assert refused > 200
