"""What each limit of a budget is judged by: its value, the sentence that says where from, and a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rfcalc.errors import BudgetError
from rfcalc.text import listed, nearest, shape

if TYPE_CHECKING:
    from rfcalc.analysis.result import Analysis, Row
    from rfcalc.analysis.structure import Structure

__all__ = ["measured", "why_no_gap"]

NAMED = 4
"""Layers that the note of a limit names."""

Measure = tuple[int | bool | None, str, str]
"""Value (None: it cannot be judged), note, and the name of the layer to look at first ("" for none)."""


def measured(name: str, analysis: Analysis, *, dtype: str = "float32", words: Sequence[str] = ()) -> Measure:
    """Measure what one limit is about.

    Args:
        name: The limit, such as "max_params".
        analysis: The network.
        dtype: The element type of bytes.
        words: The ops that `forbid_ops` names.

    Raises:
        BudgetError: `words` has a name that no op of PyTorch and no row has.
    """
    if name == "max_peak_activation_bytes":
        return _peak(analysis, dtype)
    if name == "max_weight_bytes":
        return _weights(analysis, dtype)
    if name == "forbid_ops":
        return _forbidden(analysis, words)
    return _MEASURES[name](analysis)


def _receptive_field(analysis: Analysis) -> Measure:
    field = analysis.field
    if analysis.field_row is None:
        return None, "no local features", ""
    layer = analysis.rows[analysis.field_row].name
    at = f"at {layer}"
    if "unknown" in field.flags:
        return None, f"{at}: an op without a rule, so the size is not known", layer
    return min(field.size), f"{at}, an upper bound" if "upper bound" in field.flags else at, layer


def _output_map(analysis: Analysis) -> Measure:
    if analysis.field_row is None:
        return None, "no local features", ""
    places, layer = analysis.field.positions, analysis.rows[analysis.field_row].name
    return min(places), f"{shape(places)} at {layer}", layer


def _largest(analysis: Analysis, value: int, of: Callable[[Row], int], unit: str = "") -> Measure:
    row = max(analysis.rows, key=of, default=None)
    if row is None or not of(row):
        return value, "", ""
    return value, f"largest: {row.name}, {of(row):,}{unit}", row.name


def _peak(analysis: Analysis, dtype: str) -> Measure:
    width = BYTES[dtype]
    value, note, layer = _largest(
        analysis, analysis.peak_bytes[dtype], lambda row: row.activation_bytes // 4 * width, " bytes"
    )
    return value, note if dtype == "float32" else f"{dtype}; {note}", layer


def _weights(analysis: Analysis, dtype: str) -> Measure:
    _, note, layer = _largest(analysis, 0, lambda row: row.params, " parameters")
    return analysis.weight_bytes[dtype], f"{dtype}; {note}", layer


def _forbidden(analysis: Analysis, words: Sequence[str]) -> Measure:
    from rfcalc.ops.lookup import known_ops  # imports torch, which a budget must not

    rows = {row.index: _plain(row.op) for row in analysis.rows}
    known = {_plain(op) for op in known_ops()} | set(rows.values())
    for word in words:
        if _plain(word) not in known:
            raise BudgetError(f"forbid-ops: no op is called {word!r}; {nearest(_plain(word), known)}")
    wanted = {_plain(word) for word in words}
    found = [row for row in analysis.rows if rows[row.index] in wanted]
    if not found:
        return False, f"none of {', '.join(words)}", ""
    return True, listed([f"{row.op} at {row.name}" for row in found], NAMED), found[0].name


def _plain(op: str) -> str:
    return op.strip().lower().replace("_", " ").replace("-", " ")


def _counted(names: Sequence[str]) -> Measure:
    return len(names), listed(names, NAMED), names[0] if names else ""


def _separable(analysis: Analysis) -> Measure:
    pairs = analysis.structure.depthwise_separable
    value, note, _ = _counted([f"{pair.depthwise} + {pair.pointwise}" for pair in pairs])
    return value, note, pairs[0].depthwise if pairs else ""


def _holes(analysis: Analysis) -> Measure:
    if "holes" not in analysis.field.flags:
        return False, "", ""
    first = next((row.name for row in analysis.rows if "holes" in row.field.flags), "")
    return True, f"first at {first}" if first else "", first


def _gap(analysis: Analysis) -> Measure:
    names = analysis.structure.global_average_pools
    if not names:
        return False, why_no_gap(analysis.structure), ""
    return True, listed(names, NAMED), names[0]


def why_no_gap(structure: Structure) -> str:
    """Return what comes near a global average pooling, and why it is none; "" where nothing does."""
    if structure.partial_pools:
        pool = structure.partial_pools[-1]
        return f"{pool.name} averages {shape(pool.window)} of the {shape(pool.map)} map, not all of it"
    if structure.gate_pools:
        gates = listed(structure.gate_pools, NAMED)
        return f"{gates}: goes back into a map, as a gate does, and is not what the output is made of"
    return ""


def _max_pool(analysis: Analysis) -> Measure:
    names = analysis.structure.max_pools
    return bool(names), listed(names, NAMED), names[0] if names else ""


def _stages(analysis: Analysis) -> Measure:
    names = analysis.structure.stages
    if not names:
        return None, "no children named letters + number from 1 (c1, c2, ...)", ""
    return _counted(names)


BYTES = {"float32": 4, "float16": 2, "int8": 1}
"""Bytes of one activation."""

_MEASURES: dict[str, Callable[[Analysis], Measure]] = {
    "min_receptive_field": _receptive_field,
    "max_params": lambda analysis: _largest(analysis, analysis.params, lambda row: row.params),
    "max_macs": lambda analysis: _largest(analysis, analysis.macs, lambda row: row.macs),
    "min_output_map": _output_map,
    "min_depthwise_separable": _separable,
    "min_dilated": lambda analysis: _counted(analysis.structure.dilated),
    "require_gap": _gap,
    "forbid_max_pool": _max_pool,
    "forbid_holes": _holes,
    "stages": _stages,
}
