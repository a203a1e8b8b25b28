"""Files that are no code: what each is, and which file to name instead."""

from __future__ import annotations

import zipfile
from pathlib import Path

__all__ = ["beside", "foreign"]

_READS = "rfcalc reads the code that builds the network, so name the .py file that does"

_KINDS = {
    (
        ".pt",
        ".pth",
        ".pth.tar",
        ".ckpt",
        ".bin",
        ".tar",
    ): "a PyTorch checkpoint: weights without the code of the layers",
    (".safetensors",): "a safetensors file: weights without the code of the layers",
    (".h5", ".hdf5", ".keras"): "a Keras or HDF5 model, which PyTorch does not run",
    (".pb", ".pbtxt", ".tflite", ".savedmodel"): "a TensorFlow model, which PyTorch does not run",
    (".mlmodel", ".mlpackage"): "a Core ML model, which PyTorch does not run",
    (".engine", ".plan", ".trt"): "a TensorRT engine: compiled for one GPU",
    (".gguf", ".ggml"): "a GGUF file: weights without the code of the layers",
    (
        ".pkl",
        ".pickle",
        ".joblib",
        ".dill",
    ): "a pickle, which runs whatever is in it and which rfcalc never opens",
    (".npy", ".npz", ".mat", ".msgpack"): "a file of arrays: weights without the code of the layers",
    (".caffemodel", ".prototxt", ".params", ".mar", ".ptl"): "a model for another runtime",
    (
        ".yaml",
        ".yml",
        ".json",
        ".toml",
        ".cfg",
        ".ini",
    ): "a configuration: settings without the code of the layers",
    (".pyc", ".pyo", ".so", ".pyd", ".dll"): "compiled code, without its source",
    (".zip", ".gz", ".tgz", ".xz", ".whl", ".egg", ".7z"): "an archive; unpack it first",
    (".md", ".txt", ".rst", ".html", ".pdf"): "a text and no Python file",
    (".sh", ".bat", ".ps1", ".js", ".cpp", ".cu", ".c", ".jl", ".r", ".lua"): "code of another language",
}

_PROGRAM = ".pt2"
# torch.export.load gives parts of the archive (example inputs, constants, weights marked so) to the unpickler
# without weights_only, and has no argument that forbids it (torch 2.15: torch/_export/serde/serialize.py and
# torch/export/pt2_archive/_package.py).
_UNPICKLED = (
    "a torch.export program: opening it unpickles parts of it, which runs whatever is in them, so rfcalc "
    "never does; name the .py file that builds the network, or, if you trust the file, write it as ONNX and "
    "name that: torch.onnx.export(torch.export.load({name!r}), dynamo=True).save({onnx!r})"
)
_MAGIC = {
    b"\x89HDF": "an HDF5 file, such as a Keras model, which PyTorch does not run",
    b"\x80\x02": "a pickle, such as an old PyTorch checkpoint: weights without the code of the layers",
    b"\x7fELF": "compiled code, without its source",
    b"GGUF": "a GGUF file: weights without the code of the layers",
}


def foreign(path: Path) -> str:
    """Return what a file is that is no Python file, and what to name instead; nothing is run or unpickled.

    Args:
        path: The file, there or not.
    """
    name = path.name.lower()
    if name.endswith(_PROGRAM):
        return _UNPICKLED.format(name=path.name, onnx=path.with_suffix(".onnx").name)
    by_name = next(
        (kind for endings, kind in _KINDS.items() if name.endswith(endings)),
        "" if path.suffix else "no Python file",
    )
    what = _by_content(path) or by_name or f"no Python file (its name ends in {path.suffix})"
    return f"{what}; {_READS}{beside(path)}"


def _by_content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(b"PK") and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            if any("/code/" in f"/{name}" for name in names):
                return "a TorchScript archive, which hides its layers from rfcalc"
            if any(name.endswith("data.pkl") for name in names):
                return "a PyTorch checkpoint: weights without the code of the layers"
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return ""
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "")


def beside(path: Path, at_most: int = 5) -> str:
    """Return "; in that folder: a.py, b.ipynb", the files that could be named instead; "" for none."""
    try:
        found = sorted(p.name for p in path.parent.iterdir() if p.suffix in (".py", ".ipynb") and p.is_file())
    except OSError:
        return ""
    return f"; in that folder: {', '.join(found[:at_most])}" if found else ""
