"""How many specs a second the closed forms put together and measure, on one core.

    python -m benchmarks.arithmetic_speed [--specs 20000] [--seed 0]

Draws random networks of the grammar (different structures, widths and options; the drawing is not timed) and
prints, in CPU seconds of one core: specs constructed (every rule checked) and measured (parameters, MACs,
receptive field, memory) a second; how many hold the whole budget of this project, and how many such
survivors a second that makes. With `--fill` the widths of each network are solved for the budget first.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.table import Table

from models.arithmetic import Figures, figures
from models.errors import SpecError
from models.fill import fill_budget
from models.layers import BranchSpec, LayerSpec, StageSpec
from models.spec import NetSpec

MAX_PARAMS, MIN_FIELD, MIN_PAIRS, MIN_DILATED = 99_999, 53, 2, 1
CHUNK = 500
"""Specs timed together; the best chunk counts, so that other work on the machine does not."""

BRANCHES = (
    (BranchSpec(1), BranchSpec(3), BranchSpec(7), BranchSpec(7, 3)),
    (BranchSpec(3), BranchSpec(5), BranchSpec(3, 2)),
)


Parts = list[list[dict[str, Any]]]


def random_parts(draw: random.Random) -> Parts:
    """Return the layers of a stem and four stages, one to three layers each, total stride 2, 4 or 8."""
    strided = draw.sample(range(4), draw.choice((1, 2, 3)))
    parts: Parts = [[{"kind": "conv", "width": draw.randrange(8, 49, 4)}]]
    for number in range(4):
        width = draw.randrange(16, 129, 4)
        first = _random_layer(draw, width, 2 if number in strided else 1, residual=0)
        parts.append([first, *(_random_layer(draw, width, 1, residual=1) for _ in range(draw.randrange(3)))])
    return parts


def _random_layer(draw: random.Random, width: int, stride: int, residual: int) -> dict[str, Any]:
    kind = draw.choice(
        ("conv", "depthwise_separable", "depthwise_separable", "dilated", "split", "transposed")
    )
    layer = {"kind": kind, "width": width, "residual": residual}
    if kind == "split":
        branches = draw.choice(BRANCHES if stride == 1 else BRANCHES[1:])
        return layer | {"stride": stride, "branches": branches, "gated": True}
    if kind == "transposed":
        return layer | {"dilation": draw.choice((1, 2)), "groups": 4 if residual else 1}
    return layer | {
        "kernel": draw.choice((3, 3, 5)),
        "stride": stride,
        "dilation": 2 if kind == "dilated" else 1,
        "squeeze_excite": draw.choice((0, 0, 0, 8)),
        "activation": draw.choice(("relu", "silu")),
    }


def construct(parts: Parts) -> NetSpec:
    """Return the network of these layers; every rule is checked."""
    stem, c1, c2, c3, c4 = (StageSpec(tuple(LayerSpec(**layer) for layer in layers)) for layers in parts)
    return NetSpec("random", c1, c2, c3, c4, stem)


def holds_budget(facts: Figures) -> bool:
    """Tell whether a network keeps the numeric limits; GAP, no max pooling and C1..C4 the grammar gives."""
    return (
        facts.params <= MAX_PARAMS
        and min(facts.receptive_field) >= MIN_FIELD
        and facts.depthwise_separable >= MIN_PAIRS
        and facts.dilated >= MIN_DILATED
    )


def timed(work: Callable[[Parts], Any], drawn: list[Parts]) -> tuple[list[Any], float]:
    """Return the results of `work` on each network, and how many a second it does in its best chunk."""
    results: list[Any] = []
    best = 0.0
    for first in range(0, len(drawn), CHUNK):
        chunk = drawn[first : first + CHUNK]
        start = time.process_time()
        results += [work(parts) for parts in chunk]
        best = max(best, len(chunk) / (time.process_time() - start))
    return results, best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--specs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fill", action="store_true", help="solve the widths of each network for the budget")
    args = parser.parse_args()

    draw = random.Random(args.seed)
    drawn = [random_parts(draw) for _ in range(args.specs)]
    gc.collect()
    gc.freeze()  # the drawn parts are no work of the code that is timed

    def measure(parts: Parts) -> bool:
        spec = construct(parts)
        if args.fill:
            with suppress(SpecError):  # even the narrowest network is over the budget
                spec = fill_budget(spec, MAX_PARAMS)
        return holds_budget(figures(spec))

    _, constructed = timed(construct, drawn)
    verdicts, measured = timed(measure, drawn)
    survivors = sum(verdicts)

    table = Table("", "count", "a second", title="One core, CPU time, best chunk")
    table.add_row("constructed", f"{args.specs:,}", f"{constructed:,.0f}")
    what = "constructed, filled and measured" if args.fill else "constructed and measured"
    table.add_row(what, f"{args.specs:,}", f"{measured:,.0f}")
    share = survivors / args.specs
    table.add_row("of them within the whole budget", f"{survivors:,}", f"{measured * share:,.0f}")
    layers = sum(len(layers) for parts in drawn for layers in parts)
    table.caption = f"{layers / args.specs:.1f} layers a network"
    Console().print(table)


if __name__ == "__main__":
    main()
