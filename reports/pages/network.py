"""A run's network, stage by stage: what rfcalc measures of the model.py in the folder, and its drawing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from records.text import shape
from reports import targets
from reports.pages import parts as shared
from reports.pages.html import Markup, code, element, table
from reports.runs import TrainRun
from reports.tables.network import Stage, field_size, layers, overview, stages
from reports.tables.table import millions

if TYPE_CHECKING:
    from rfcalc.maps.field import Field


@dataclass(frozen=True)
class NetworkView:
    """A run's network as a page shows it."""

    content: Markup
    """The drawing, the tables, the recipe and the source; where nothing can be drawn, why."""
    growth: tuple[tuple[str, int], ...] = ()
    """Of `rfcalc.analysis.view.grown_fields`, for the chart of it; empty where nothing can be drawn."""


def look(run: TrainRun) -> NetworkView:
    """Analyse the network of a run, which runs its model.py."""
    parts: list[Markup] = []
    grown: tuple[tuple[str, int], ...] = ()
    size = run.record.dataset.image_size
    model = run.folder / "model.py"
    trouble = None
    if not model.is_file():
        words = "The network is not drawn: the run folder holds no model.py."
        parts.append(element("p", words, class_="why"))
    else:
        from rfcalc import RfcalcError
        from rfcalc.analysis.view import grown_fields

        try:
            analysis = targets.measure(targets.Named(run.record.name, str(model), (3, *size)))
        except RfcalcError as error:
            trouble = str(error)
        else:
            found = stages(analysis)
            listed = table(layers(analysis), "layers")
            grown = grown_fields(analysis)
            grows = shared.chart("growth", "How the receptive field grows, layer by layer")
            parts += [drawing(found, size), grows, table(overview(found), "stages-table")]
            parts.append(element("details", element("summary", "Layer by layer"), listed))
    if trouble is not None:
        parts.append(shared.banner("The network is not drawn", trouble))
    parts.append(shared.recipe(run.record, "recipe"))
    if run.source is not None:
        summary = element("summary", "Source of the network")
        parts.append(element("details", summary, code(run.source, "the source of the network")))
    return NetworkView(element("div", parts), grown)


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
        ("output", shape(row.output_shape)),
        ("RF", field_size(row.field)),
        ("params", f"{stage.params:,}"),
        ("MACs", millions(stage.macs)),
    )
    listed = [[element("dt", name), element("dd", value)] for name, value in facts]
    remark = None
    if stage.judged is not None:
        at = f"the budget judges the RF at {stage.judged.name}: {field_size(stage.judged.field)} pixels"
        remark = element("small", at)
    picture = element(
        "svg",
        _prism(row.output_shape, image_size),
        _sight(row.field, image_size, widest),
        viewBox="0 0 120 92",
        role="img",
        aria_label=f"{stage.name}: output {shape(row.output_shape)}, receptive field {field_size(row.field)}",
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
