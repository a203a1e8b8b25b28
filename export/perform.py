"""What `python -m export` does, from the options to the folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

import rfcalc
from export import deployment, floats, onnx_file, tflite_file
from export.__main__ import ExportOptions
from export.accuracy import Accuracy, accuracy_of
from export.c import build
from export.c.emulate import check_cmsis_nn
from export.errors import ExportError
from export.folder import earlier, publish, scratch
from export.graph import Graph
from export.images import Images, Pixels, has_images, load_images, options_of
from export.int8_file import LayerError, layer_errors, write_int8
from export.lowering import lower
from export.page.page import page
from export.qat.tune import Tuned, tune
from export.qdq_file import write_qdq
from export.subject import Subject, open_subject
from records.files import write_json, write_text
from records.next_steps import Step, after_export, shown
from training.command.trained import Trained

COMPARED = 256
"""Images on which the logits of the ONNX file are compared with torch's."""
_TIMED, _WARM = 30, 5
_BATCH = 64


def perform(options: ExportOptions, console: Console) -> int:
    """Export a network.

    Returns:
        0; or 1 where the C code is over a limit.

    Raises:
        UserError: It cannot be done; nothing was written.
    """
    onnx_file.check_opset(options.opset)
    if options.cmsis_nn is not None:
        check_cmsis_nn(options.cmsis_nn)
    size = None if options.input is None else rfcalc.parse_size(options.input)
    subject = open_subject(options.target, model=options.model, input_size=size)
    images = _images(options, subject, console)
    folder = options.out or subject.folder
    parts: dict[str, Any] = {}
    with scratch(folder) as new:
        network = _operators(options, subject, images, console)
        reference = _reference(subject, images)
        tuned = None
        if options.qat is not None:
            assert network is not None
            tuned = tune(
                subject,
                network,
                images,
                epochs=options.qat,
                rate=options.qat_rate,
                seed=options.calibration_seed,
                console=console,
            )
        if options.targets & {"onnx", "int8"}:
            _onnx(options, subject, images, new, parts, console)
        if "int8" in options.targets:
            _int8(options, subject, images, tuned, new, parts, console)
        if "c" in options.targets:
            assert network is not None
            changed = None if tuned is None else (tuned.network, tuned.stored)
            parts["c"] = build.write(
                *(subject, network, images, new / "c"),
                emulate=options.emulate,
                cmsis_nn=options.cmsis_nn,
                tuned=changed,
            )
            _show("C", parts["c"], console)
        if "tflite" in options.targets:
            _tflite(subject, images, new, parts, console)
        if "html" in options.targets:
            assert network is not None
            write_text(new / "page.html", page(subject, network))
            parts["html"] = {"bytes": (new / "page.html").stat().st_size, "accuracy": None}
            _show("page", parts["html"], console)
        for part in parts.values():
            part |= {
                "images": images.judged_source,
                "reference": None if reference is None else reference.to_json(),
            }
        for target in {"int8", "c"} & parts.keys():
            parts[target]["qat"] = None if tuned is None else tuned.record
        whole = earlier(folder, subject.hash) | parts
        write_text(new / "deployment.md", deployment.markdown(subject.name, whole))
        write_json(
            new / "deployment.json", {"network": subject.name, "weights_sha256": subject.hash, **whole}
        )
        publish(new, folder, parts, subject.hash)
    console.print(f"written   {folder}", markup=False)
    code = _limits(options, parts, console)
    console.print(shown(_next(options, subject)), markup=False)
    return code


def _next(options: ExportOptions, subject: Subject) -> list[Step]:
    own = options.out is None
    trained = subject.trained
    return after_export(
        options.target,
        trained=trained is not None,
        model=options.model,
        served=own and bool(options.targets & {"onnx", "int8"}),
        page=_run_folder(options, trained) if own and trained is not None else None,
    )


def _run_folder(options: ExportOptions, trained: Trained) -> Path | None:
    given = Path(options.target)
    if given.is_dir():
        return given
    return trained.file.parent if trained.record is not None else None


def _images(options: ExportOptions, subject: Subject, console: Console) -> Images:
    if not has_images(subject, options.data):
        assert subject.trained is not None
        raise ExportError(
            f"{subject.trained.file} was trained on {subject.trained.dataset}; name images to compare and to "
            "calibrate on: --data D"
        )
    chosen, given = options_of(options.data, options.cache, options.resize, options.split)
    if subject.trained is None and given:
        raise ExportError(
            f"--{sorted(given)[0]} means nothing for {options.target}: it has fresh weights, which no image "
            "can judge; leave it out, or export a finished run"
        )
    images = load_images(
        subject,
        chosen,
        given,
        count=options.calibration if options.calibrates else 0,
        seed=options.calibration_seed,
        console=console,
    )
    if options.images is not None and options.images < len(images.judged):
        images = replace(
            images,
            judged=images.judged[: options.images],
            labels=None if images.labels is None else images.labels[: options.images],
            judged_source=f"the first {options.images:,} of {images.judged_source}",
        )
    if subject.trained is None:
        console.print(
            f"{subject.name} is not trained: fresh weights, and noise in the place of images; sizes and "
            "speed are right, answers are not",
            style="yellow",
            markup=False,
        )
    return images


def _reference(subject: Subject, images: Images) -> Accuracy | None:
    if images.labels is None:
        return None
    return accuracy_of(onnx_file.run_torch(subject, images.judged).argmax(1), images.labels, images.classes)


def _operators(options: ExportOptions, subject: Subject, images: Images, console: Console) -> Graph | None:
    """Return the operators that C, the page and `--qat` are made of, once they answer as torch does.

    None: nothing of these is asked for, and the network may have other operators.
    """
    if not options.targets & {"c", "html"} and options.qat is None:
        return None
    network, some = lower(subject), images.judged[:COMPARED]
    pixels = torch.from_numpy(onnx_file.fed(subject, some, raw=True))
    found = np.concatenate([floats.run(network, each).numpy() for each in torch.split(pixels, _BATCH)])
    _parity(subject, "the network as operators", some, found, console)
    return network


def _onnx(
    options: ExportOptions,
    subject: Subject,
    images: Images,
    new: Path,
    parts: dict[str, Any],
    console: Console,
) -> None:
    path = new / "model.onnx"
    onnx_file.write_onnx(subject, path, raw=options.raw, opset=options.opset)
    some = images.judged[:COMPARED]
    found = onnx_file.run_onnx(path, subject, some, raw=options.raw)
    parity = _parity(subject, path.name, some, found, console)
    parts["onnx"] = {
        "bytes": path.stat().st_size,
        "opset": options.opset,
        "input": onnx_file.NORMALISED if options.raw else onnx_file.PIXELS,
        "parity": parity.to_json(),
        "accuracy": _accuracy(path, subject, images, options.raw),
        "milliseconds": _milliseconds([path], subject, images, options.raw)[0],
    }
    _show("ONNX", parts["onnx"], console)


def _tflite(subject: Subject, images: Images, new: Path, parts: dict[str, Any], console: Console) -> None:
    path = new / "model.tflite"
    tflite_file.write_tflite(subject, path)
    some = images.judged[:COMPARED]
    parity = _parity(subject, path.name, some, tflite_file.run_tflite(path, some), console)
    accuracy = None
    if images.labels is not None:
        answers = tflite_file.run_tflite(path, images.judged).argmax(1)
        accuracy = accuracy_of(answers, images.labels, images.classes).to_json()
    parts["tflite"] = {
        "bytes": path.stat().st_size,
        "input": onnx_file.PIXELS,
        "parity": parity.to_json(),
        "accuracy": accuracy,
    }
    _show("TFLite", parts["tflite"], console)


def _parity(
    subject: Subject, name: str, some: Pixels, found: onnx_file.Logits, console: Console
) -> onnx_file.Parity:
    """Compare the logits of an exported form with those of torch; refuse it where they differ."""
    parity = onnx_file.compare(onnx_file.run_torch(subject, some), found)
    console.print(
        f"parity    {name} differs from torch by at most {parity.difference:.2g} in a logit, on "
        f"{parity.images} images ({parity.same_answers} with the same answer)",
        markup=False,
    )
    onnx_file.require_parity(parity, name)
    return parity


def _int8(
    options: ExportOptions,
    subject: Subject,
    images: Images,
    tuned: Tuned | None,
    new: Path,
    parts: dict[str, Any],
    console: Console,
) -> None:
    source, path = new / "model.onnx", new / "model-int8.onnx"
    errors: list[LayerError] = []
    if tuned is None:
        left = write_int8(subject, source, path, images.calibration, raw=options.raw)
        errors = layer_errors(subject, source, path, images.calibration, raw=options.raw)
        (new / "prepared.onnx").unlink()
    else:
        left = write_qdq(subject, tuned.network, tuned.stored, path, raw=options.raw, opset=options.opset)
        errors = build.step_errors(subject, tuned.network, tuned.stored, images.calibration)
    part = {
        "bytes": path.stat().st_size,
        "calibration": images.calibration_source,
        "float": left,
        "errors": [{"name": each.name, "decibels": each.signal_to_noise} for each in errors],
        "accuracy": _accuracy(path, subject, images, options.raw),
    }
    before, after = _milliseconds([source, path], subject, images, options.raw)
    parts["onnx"]["milliseconds"], part["milliseconds"] = before, after
    part["slower"] = f"{after:.2f} against {before:.2f} ms" if after > 1.1 * before else None
    parts["int8"] = part
    _show("int8", part, console)
    if part["slower"]:
        console.print(
            f"          slower than float32 ({part['slower']}): deployment.md says why",
            style="yellow",
            markup=False,
        )


def _accuracy(path: Path, subject: Subject, images: Images, raw: bool) -> dict[str, Any] | None:
    if images.labels is None:
        return None
    answers = onnx_file.run_onnx(path, subject, images.judged, raw=raw).argmax(1)
    return accuracy_of(answers, images.labels, images.classes).to_json()


def _milliseconds(paths: Sequence[Path], subject: Subject, images: Images, raw: bool) -> list[float]:
    """Return each file's median time of one image on one thread; in turns, so that all meet a busy moment."""
    runners = [onnx_file.session(path) for path in paths]
    feed = {runners[0].get_inputs()[0].name: onnx_file.fed(subject, images.judged[:1], raw=raw)}
    seconds: list[list[float]] = [[] for _ in runners]
    for _ in range(_WARM + _TIMED):
        for runner, times in zip(runners, seconds, strict=True):
            began = time.perf_counter()
            runner.run(None, feed)
            times.append(time.perf_counter() - began)
    return [round(1000 * float(np.median(times[_WARM:])), 3) for times in seconds]


def _show(label: str, part: dict[str, Any], console: Console) -> None:
    found = part.get("accuracy")
    texts = [f"{part['bytes'] / 1000:,.1f} kB"]
    if found is not None:
        low, high = found["interval95"]
        texts.append(f"{found['accuracy']:.2%} right ({low:.2%} to {high:.2%}, {found['images']:,} images)")
    if part.get("milliseconds") is not None:
        texts.append(f"{part['milliseconds']:.2f} ms an image on one thread")
    if "ram" in part:
        texts.append(f"arena {part['ram']['arena']:,} bytes")
    if part.get("emulated"):
        texts.append(f"QEMU agrees on {part['emulated']} images")
    console.print(f"{label:9} {', '.join(texts)}", markup=False)


def _limits(options: ExportOptions, parts: dict[str, Any], console: Console) -> int:
    code = 0
    if "c" not in parts:
        return code
    found = {
        "max-weight-bytes": (parts["c"]["flash"]["weights"], options.max_weight_bytes),
        "max-arena-bytes": (parts["c"]["ram"]["arena"], options.max_arena_bytes),
    }
    for name, (bytes_, limit) in found.items():
        if limit is not None:
            broken = bytes_ > limit
            verdict = f"BROKEN by {bytes_ - limit:,}" if broken else f"held, {limit - bytes_:,} to spare"
            console.print(f"{name:17} {bytes_:,} of {limit:,}: {verdict}", markup=False)
            code |= int(broken)
    return code
