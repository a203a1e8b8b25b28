"""Tables of a network off the machine: its forms with accuracy and size, its memory, boards."""

from records.deployment import Deployment, Measured
from reports.tables.table import Column, Table, percent

_NAMES = {
    "onnx": "float32 (onnxruntime)",
    "int8": "int8 (onnxruntime, QDQ)",
    "c": "int8 (C)",
    "tflite": "float32 (TFLite, by LiteRT)",
    "html": "float32 (a page in the browser)",
}


def forms(found: Deployment) -> list[Table]:
    """Return a table for each choice of images that forms were measured on: torch first, then a row a form.

    Accuracies of different images do not compare, so they share no table.
    """
    columns = (
        Column("form"),
        Column("accuracy", percent, number=True),
        Column("95 % interval"),
        Column("kB", _kilobytes, number=True),
        Column("CPU ms an image", lambda value: f"{value:.2f}", number=True),
    )
    tables = []
    for images in dict.fromkeys(form.images for form in found.forms):
        chosen = [form for form in found.forms if form.images == images]
        rows: list[tuple[str | float | None, ...]] = []
        if (torch := chosen[0].reference) is not None:
            rows.append(("float32 (torch)", torch.accuracy, _interval(torch), None, None))
        for form in chosen:
            accuracy = None if form.accuracy is None else form.accuracy.accuracy
            name = _NAMES.get(form.target, form.target) + (", after --qat" if form.tuned else "")
            rows.append((name, accuracy, _interval(form.accuracy), form.bytes, form.milliseconds))
        tables.append(Table(f"Forms of the network, on {images}", columns, tuple(rows)))
    return tables


def memory(found: Deployment) -> Table | None:
    """Return flash and RAM of the C code, in bytes; None where there is none."""
    if found.flash is None or found.ram is None:
        return None
    rows = [(f"flash: {name}", value) for name, value in found.flash.items() if name != "total"]
    known = "together" if found.flash["code"] is not None else "together, without the code"
    rows.append((f"flash, {known}", found.flash["total"]))
    rows += [(f"RAM: {name}", value) for name, value in found.ram.items()]
    rows.append(("RAM, together", sum(found.ram.values())))
    columns = (Column("memory of the C code"), Column("bytes", lambda value: f"{value:,}", number=True))
    return Table("Memory", columns, tuple(rows))


def boards(found: Deployment) -> Table:
    """Return a row for each board."""
    columns = (
        Column("board"),
        Column("core"),
        Column("MHz", number=True),
        Column("fits", lambda fits: "yes" if fits else "no", mark=lambda fits: "yes" if fits else "no"),
        Column("ms an image"),
        Column("source of the cycles a MAC"),
    )
    rows = tuple(
        (
            each.board,
            each.core,
            each.megahertz,
            each.fits,
            f"{each.milliseconds[0]:.0f} to {each.milliseconds[1]:.0f}",
            each.source,
        )
        for each in found.boards
    )
    return Table("Boards (estimate)", columns, rows)


def _interval(found: Measured | None) -> str | None:
    if found is None:
        return None
    low, high = found.interval95
    return f"{percent(low)} to {percent(high)}"


def _kilobytes(count: int) -> str:
    return f"{count / 1000:,.1f}"
