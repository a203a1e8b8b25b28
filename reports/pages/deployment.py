"""The section of a page on the network off the machine, where `python -m export` wrote something."""

from pathlib import Path

from records.codec import RecordError
from records.deployment import FOLDER, Deployment
from records.text import plural
from reports.errors import ReportError
from reports.pages import parts as shared
from reports.pages.html import Markup, element, table
from reports.tables import deployment as tables
from reports.tables.table import percent


def deployment(folder: Path) -> Markup | None:
    """Return the section of a run whose weights lie in `folder`; None where nothing was exported.

    Raises:
        ReportError: The record of the export is damaged.
    """
    try:
        found = Deployment.beside(folder)
    except RecordError as error:
        raise ReportError(str(error)) from error
    if found is None:
        return None
    parts = [
        table(each, f"deployment-forms-{number}") for number, each in enumerate(tables.forms(found), start=1)
    ]
    parts += _remarks(found)
    if (memory := tables.memory(found)) is not None:
        parts.append(table(memory, "deployment-memory"))
        why = (
            "An estimate from published latencies for optimised kernels, never a measurement; the C loops as "
            "they are written need more."
        )
        parts += [element("p", why, class_="why"), table(tables.boards(found), "deployment-boards")]
    why = f"The rows of a table were measured on the same images. Layers and hashes are in {FOLDER}/."
    return shared.section("deployment", "Deployment", why, parts)


def _remarks(found: Deployment) -> list[Markup]:
    words = []
    for form in found.forms:
        if form.slower is not None:
            words.append(
                f"int8 is slower than float32 by onnxruntime ({form.slower}); causes are SiLU, GELU and "
                "hard-swish, which are computed in float32 between two quantisations there, and processors "
                "with few int8 instructions. The C code has tables for them."
            )
        if form.emulated is not None:
            words.append(
                f"The C code ran in QEMU on {form.emulated:,} images with every score of the interpreter."
            )
    if found.qat is not None:
        tuned = found.qat
        before, after = percent(tuned.before.accuracy), percent(tuned.after.accuracy)
        note = ", from which the run itself learned" if tuned.learned else ""
        words.append(
            f"int8 was trained on for {plural(tuned.epochs, 'epoch')} with its roundings: {before} before, "
            f"{after} after, of {tuned.before.images:,} validation images{note}."
        )
    return [element("p", each) for each in words]
