"""rf.html: the receptive-field explorer of one network, as one file that needs no network."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from records.pictures import PictureError, opened
from records.text import shape
from reports import targets
from reports.errors import ReportError
from reports.pages import explorer_verdict
from reports.pages import parts as shared
from reports.pages.explorer import SECONDS, explore
from reports.pages.explorer_layers import layers_table
from reports.pages.explorer_panel import for_script, panel
from reports.pages.explorer_words import FACTS, FLAGS
from reports.pages.html import Markup, document, element, picture
from reports.tables.network import field_size
from reports.tables.table import count, millions

_SCRIPTS = ("base.js", "rf_field.js", "rf_graph.js", "rf_draw.js", "rf.js")

_HOW = (
    "Choose a layer in the table and a unit in the small map: coloured are the pixels it sees, dashed its"
    " extent on an unbounded plane. Click a pixel of the image to see which units see it. The strip left of"
    " the table is the graph: a strong line leads from what the chosen layer reads, a dashed one to what"
    " reads it."
)


def explorer_page(
    target: str,
    input_size: tuple[int, ...] | None = None,
    image: Path | None = None,
    images: int | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> str:
    """Return the explorer's page as text.

    Args:
        target: What `reports.targets.resolve` takes; it is run. A run folder brings its trained weights.
        input_size: (C, H, W); None is the target's own, else 3x32x32.
        image: A photo, cropped around its centre to the input's shape; a plain ground without one.
        images: Noise images to measure the effective fields with; 0 measures nothing, None takes as many as
            are soon done.
        note: Called with how far the work has come, in words.

    Raises:
        ReportError: The input is not (C, H, W), the run folder is not finished, or the image cannot be read.
        rfcalc.errors.RfcalcError: The target cannot be loaded or analysed.
    """
    named = targets.resolve(target, input_size)
    # Before the network is run, which takes longer than reading a picture that cannot be read.
    photo = _photo(image, *named.size[-2:]) if image is not None and len(named.size) == 3 else None
    note(f"loading and analysing {named.title}")
    model, analysis = targets.load(named, trained=True)
    data = explore(analysis, images, note)
    judged = explorer_verdict.judge(model, analysis, named.target or "")
    height, width = data["input"]
    facts = [
        (
            "Receptive field",
            _pixels(field_size(analysis.field)),
            "of the last features, before global pooling",
        ),
        ("Parameters", count(analysis.params), "every unique parameter"),
        ("MACs", millions(analysis.macs), "convolution and linear, per image"),
        ("Input", shape(named.size), f"{len(data['lines'])} layers"),
        *explorer_verdict.figures(judged),
    ]
    body = element(
        "div",
        element("a", "Skip to the layers", href="#layers", class_="skip"),
        shared.masthead("receptive-field explorer"),
        element("h1", named.title),
        shared.figures(facts),
        element("p", _HOW, class_="help"),
        element("div", panel(height, width), layers_table(data["lines"], data["opens"]), class_="explorer"),
        element("p", _origin(data, named), class_="help", id="origin"),
        explorer_verdict.details(judged),
        element("div", photo, class_="hidden") if photo else None,
        element("footer", "Written by python -m reports rf. This page loads nothing from anywhere."),
        class_="page",
    )
    lines = [for_script(line) for line in data["lines"]]
    island = {**data, "lines": lines, "words": {**FACTS, **FLAGS}}
    title = f"Receptive fields of {named.title}"
    return document(title, body, island, _SCRIPTS, ("report.css", "rf.css"))


def _origin(data: dict[str, Any], named: targets.Named) -> str:
    """Return the sentence on where the effective fields come from."""
    if not data["images"]:
        return (
            "The heat is the effective field in closed form: a Gaussian of the standard deviation, sigma,"
            f" that uniform weights give (Luo et al., 2016). {data['why'][:1].upper()}{data['why'][1:]}."
        )
    whose = (
        "the run's trained weights"
        if named.weights
        else "the weights that the file sets, untrained as a rule"
    )
    images = f"{data['images']} image{'s' if data['images'] > 1 else ''}"
    return (
        f"The heat is measured with {whose}: the gradient of the layer's centre unit with respect to each"
        f" pixel, averaged over {images} of noise. Where a layer's units take turns (phases), one of each is"
        f" measured. Other units show it moved; what was not measured is flat.{_left_out(data['left_out'])}"
        " Sigma is its standard deviation; the table has it in closed form, for uniform weights (Luo et al.,"
        " 2016)."
    )


def _pixels(size: str) -> str:
    return f"{size} px" if size[:1].isdigit() else size


def _left_out(layers: int) -> str:
    if not layers:
        return ""
    what = "One layer was" if layers == 1 else f"{layers:,} layers were"
    return (
        f" {what} not measured, because the time was up after {SECONDS} s (--erf-images 1 measures all):"
        " there the heat is the closed form."
    )


def _photo(path: Path, height: int, width: int) -> Markup:
    from PIL import ImageOps

    try:
        with opened(path) as photo:
            fitted = ImageOps.fit(ImageOps.exif_transpose(photo).convert("RGB"), (width, height))
    except (OSError, PictureError) as error:
        why = getattr(error, "strerror", None) or error
        raise ReportError(f"--image {path}: cannot be read as an image ({why})") from error
    out = io.BytesIO()
    if height * width <= 64 * 64:
        fitted.save(out, "PNG")
    else:
        fitted.save(out, "WEBP", quality=85)
    image = picture(out.getvalue(), "The photo that the explorer looks at.")
    return Markup(image.replace("<img ", '<img id="photo" ', 1))
