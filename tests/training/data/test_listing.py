import io
from pathlib import Path

import pytest
from PIL import Image

from training.data.listing import listing


def png(colour: tuple[int, int, int] = (200, 30, 60)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(file, "PNG")
    return file.getvalue()


GOOD = {
    f"{split}/{label}/{i}.png": png((i, n, 0))
    for split in ("train", "test")
    for n, label in enumerate(("cat", "dog"))
    for i in range(3)
}


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(data)
    return root


@pytest.mark.parametrize("lead", ["", "inner/"])
def test_a_folder_is_read_like_an_archive(tmp_path: Path, lead: str) -> None:
    folder = write(tmp_path / "set", {lead + name: data for name, data in GOOD.items()} | {".DS_Store": b""})
    found = listing(folder)

    assert sorted(("/".join(m.path), m.data) for m in found.members() if not m.is_folder) == sorted(
        (lead + name, data) for name, data in GOOD.items()
    )
    assert found.total_bytes == sum(map(len, GOOD.values()))


def test_a_fingerprint_changes_with_any_name_size_or_time(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", GOOD)
    seen = [listing(folder).fingerprint]
    assert listing(folder).fingerprint == seen[0]

    path = folder / "train" / "cat" / "1.png"
    path.write_bytes(png((9, 9, 9)))
    seen.append(listing(folder).fingerprint)
    path.rename(path.with_name("9.png"))
    seen.append(listing(folder).fingerprint)
    path.with_name("9.png").unlink()
    seen.append(listing(folder).fingerprint)
    (folder / "train" / "bird").mkdir()
    seen.append(listing(folder).fingerprint)

    assert len(set(seen)) == 5


def test_a_folder_without_train_and_test_lists_nothing(tmp_path: Path) -> None:
    assert listing(write(tmp_path, {"cat/1.png": png(), "a.txt": b""})).files == ()
