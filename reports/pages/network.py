"""A run's network, stage by stage: what rfcalc measures of the model.py in the folder, and its drawing."""

import contextlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from reports.pages import results
from reports.pages.html import Markup, code, element, table
from reports.runs import TrainRun
from reports.tables.table import Column, Table, counts, millions

if TYPE_CHECKING:
    from rfcalc import Analysis, Field, Row


@dataclass(frozen=True)
class Stage:
    """The layers of one top-level child of the network, in the order in which they run."""

    name: str
    rows: tuple["Row", ...]
    judged: "Row | None"
    """The row whose receptive field the budget judges, where it is one of these."""

    @property
    def last(self) -> "Row":
        """The row whose output leaves the stage."""
        return self.rows[-1]

    @property
    def params(self) -> int:
        """Parameters of the stage."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the stage, per image."""
        return sum(row.macs for row in self.rows)


def told(run: TrainRun) -> Markup:
    """Return the drawing, the tables, the recipe and the source; where nothing can be drawn, why."""
    parts: list[Markup] = []
    size = run.record.dataset.image_size
    model = run.folder / "model.py"
    trouble = None
    if not model.is_file():
        words = "The network is not drawn: the run folder holds no model.py."
        parts.append(element("p", words, class_="why"))
    else:
        from rfcalc import RfcalcError

        try:
            analysis = analyse(model, size)
        except RfcalcError as error:
            trouble = str(error)
        else:
            found = stages(analysis)
            listed = table(layers(analysis), "layers")
            parts += [drawing(found, size), table(overview(found), "stages-table")]
            parts.append(element("details", element("summary", "Layer by layer"), listed))
    if trouble is not None:
        parts.append(results.banner("The network is not drawn", trouble))
    parts.append(results.recipe(run.record, "recipe"))
    if run.source is not None:
        summary = element("summary", "Source of the network")
        parts.append(element("details", summary, code(run.source, "the source of the network")))
    return element("div", parts)


def analyse(model: Path, image_size: tuple[int, int]) -> "Analysis":
    """Load a run folder's standalone model.py, which runs it, and analyse its network.

    Raises:
        rfcalc.errors.RfcalcError: It cannot be loaded or analysed.
    """
    return measure(str(model), (3, *image_size))


def measure(target: str, input_size: tuple[int, ...]) -> "Analysis":
    """Load an rfcalc target and analyse it.

    Raises:
        rfcalc.errors.RfcalcError: It cannot be loaded or analysed.
    """
    import rfcalc  # brings torch along: only where a network is measured

    with contextlib.redirect_stdout(sys.stderr):  # what the loaded file prints is not ours
        return rfcalc.analyze(rfcalc.load_model(target), input_size=input_size)


def stages(analysis: "Analysis") -> tuple[Stage, ...]:
    """Group the rows by top-level child; neighbours of the same child form a stage."""
    found = []
    for name, rows in groupby(analysis.rows, key=lambda row: row.name.split(".")[0].split("#")[0]):
        group = tuple(rows)
        judged = next((row for row in group if row.index == analysis.field_row), None)
        found.append(Stage(name, group, judged))
    return tuple(found)


def sides(field: "Field") -> str:
    """Show a receptive field: "61", "61x53", or "whole image" where it is global."""
    if field.is_global:
        return "whole image"
    return _sides(field.size)


def layers(analysis: "Analysis") -> Table:
    """One row a layer; norms and activations are on the line of what they follow, as in rfcalc's own."""
    from rfcalc.analysis.view import lines_of

    columns = (
        Column("layer"),
        Column("op"),
        Column("output"),
        Column("RF", number=True),
        Column("jump", number=True),
        counts("params"),
        Column("MACs", millions, number=True),
        Column("followed by"),
        Column("remarks"),
    )
    cells = []
    for line in lines_of(analysis):
        row, followed = line.row, ", ".join(each.op for each in line.folded)
        place = (row.name, row.op, _shape(row.output_shape), sides(row.field), jump(row.field))
        cells.append((*place, line.params, line.macs, followed, ", ".join(sorted(row.field.flags))))
    return Table("Layer by layer", columns, tuple(cells))


def drawing(found: Sequence[Stage], image_size: tuple[int, int]) -> Markup:
    """Draw each stage as its output map beside what one of its units sees of the image, to one scale each."""
    widest = max([image_size[1], *(max(stage.last.field.size, default=0) for stage in found)])
    items = [_card(stage, image_size, widest) for stage in found]
    key = element(
        "p",
        element("span", element("i", class_="k-map"), "output map; its depth grows with the channels"),
        element(
            "span", element("i", class_="k-image"), f"the image, {image_size[0]} x {image_size[1]} pixels"
        ),
        element("span", element("i", class_="k-field"), "receptive field of one unit"),
        class_="key",
    )
    return element("div", element("ol", items, class_="stages"), key)


def _card(stage: Stage, image_size: tuple[int, int], widest: int) -> Markup:
    row = stage.last
    facts = (
        ("output", _shape(row.output_shape)),
        ("RF", sides(row.field)),
        ("params", f"{stage.params:,}"),
        ("MACs", millions(stage.macs)),
    )
    listed = [[element("dt", name), element("dd", value)] for name, value in facts]
    remark = None
    if stage.judged is not None:
        at = f"the budget judges the RF at {stage.judged.name}: {sides(stage.judged.field)} pixels"
        remark = element("small", at)
    picture = element(
        "svg",
        _prism(row.output_shape, image_size),
        _sight(row.field, image_size, widest),
        viewBox="0 0 120 92",
        role="img",
        aria_label=f"{stage.name}: output {_shape(row.output_shape)}, receptive field {sides(row.field)}",
    )
    kind = "judged" if stage.judged is not None else None
    return element("li", element("h3", stage.name), picture, element("dl", listed), remark, class_=kind)


def _prism(shape: tuple[int, ...], image_size: tuple[int, int]) -> Markup:
    """A box at the left: its front is the map, its depth the channels."""
    channels, *rest = shape
    height, width = (*rest, 1, 1)[:2]
    side = 46 / max(image_size)
    tall, wide = max(4.0, height * side), max(4.0, width * side)
    deep = min(16.0, 1.3 * math.sqrt(channels))
    rise = deep / 2
    left, bottom = 1.0, 50 + tall / 2
    right, top = left + wide, bottom - tall
    front = f"M{left:.1f},{bottom:.1f}h{wide:.1f}v{-tall:.1f}h{-wide:.1f}z"
    roof = f"M{left:.1f},{top:.1f}l{deep:.1f},{-rise:.1f}h{wide:.1f}l{-deep:.1f},{rise:.1f}z"
    flank = f"M{right:.1f},{bottom:.1f}l{deep:.1f},{-rise:.1f}v{-tall:.1f}l{-deep:.1f},{rise:.1f}z"
    faces = (("map", front), ("map top", roof), ("map side", flank))
    return Markup("".join(f'<path class="{kind}" d="{d}"/>' for kind, d in faces))


def _sight(field: "Field", image_size: tuple[int, int], widest: int) -> Markup:
    """The image as a grey square at the right and the receptive field as a frame around the same centre."""
    scale = 54 / widest
    size = image_size if field.is_global else field.size
    boxes = []
    for kind, (height, width) in (("image", image_size), ("field", (size[0], size[-1]))):
        tall, wide = height * scale, width * scale
        boxes.append(
            f'<rect class="{kind}" x="{91 - wide / 2:.1f}" y="{46 - tall / 2:.1f}" width="{wide:.1f}"'
            f' height="{tall:.1f}"/>'
        )
    return Markup("".join(boxes))


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def jump(field: "Field") -> str | None:
    """Show the input pixels between neighbouring units: "4", "2x4", "1/2"; None where they vary."""
    if any(step is None for step in field.jump):
        return None
    return _sides(field.jump)


def _sides(values: Sequence[object]) -> str:
    """One number where height and width agree."""
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))


def overview(found: Sequence[Stage]) -> Table:
    """One row a stage."""
    columns = (
        Column("stage"),
        counts("layers"),
        Column("output"),
        Column("RF", number=True),
        Column("jump", number=True),
        counts("params"),
        Column("MACs", millions, number=True),
    )
    rows = tuple(
        (
            *(stage.name, len(stage.rows), _shape(stage.last.output_shape), sides(stage.last.field)),
            *(jump(stage.last.field), stage.params, stage.macs),
        )
        for stage in found
    )
    return Table("Stage by stage", columns, rows)
