"""How many specs a second the closed forms put together and measure, on one core.

    python benchmarks/arithmetic_speed.py [--specs 20000] [--seed 0]

Draws random networks of the grammar (different structures, widths and options) and prints, in CPU seconds of
one core: specs constructed (every rule checked) and measured (parameters, MACs, receptive field, memory) a
second; how many hold the whole budget of this project, and how many such survivors a second that makes. With
`--fill` the widths of each network are solved for the budget first.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table

from models.arithmetic import Figures, figures
from models.errors import SpecError
from models.fill import fill_budget
from models.layers import BranchSpec, LayerSpec, OutputSpec, StageSpec
from models.spec import NetSpec

MAX_PARAMS, MIN_FIELD, MIN_PAIRS, MIN_DILATED = 99_999, 53, 2, 1
BRANCHES = (
    (BranchSpec(1), BranchSpec(3), BranchSpec(7), BranchSpec(7, 3)),
    (BranchSpec(3), BranchSpec(5), BranchSpec(3, 2)),
)


def random_spec(draw: random.Random) -> NetSpec:
    """Return a random network: a stem, one to three layers a stage, total stride 2, 4 or 8."""
    strided = draw.sample(range(4), draw.choice((1, 2, 3)))
    stages = []
    for number in range(4):
        width = draw.randrange(16, 129, 4)
        first = _layer(draw, width, 2 if number in strided else 1, residual=0)
        others = (_layer(draw, width, 1, residual=1) for _ in range(draw.randrange(3)))
        stages.append(StageSpec((first, *others)))
    stem = StageSpec((LayerSpec("conv", draw.randrange(8, 49, 4)),))
    return NetSpec("random", *stages, stem=stem, output=OutputSpec(draw.choice(("conv-gap", "gap-linear"))))


def _layer(draw: random.Random, width: int, stride: int, residual: int) -> LayerSpec:
    kind = draw.choice(
        ("conv", "depthwise_separable", "depthwise_separable", "dilated", "split", "transposed")
    )
    if kind == "split":
        branches = draw.choice(BRANCHES if stride == 1 else BRANCHES[1:])
        return LayerSpec(kind, width, stride=stride, residual=residual, branches=branches, gated=True)
    if kind == "transposed":
        return LayerSpec(
            kind,
            width,
            stride=1,
            dilation=draw.choice((1, 2)),
            residual=residual,
            groups=4 if residual else 1,
        )
    return LayerSpec(
        kind,
        width,
        draw.choice((3, 3, 5)),
        stride=stride,
        dilation=2 if kind == "dilated" else 1,
        residual=residual,
        squeeze_excite=draw.choice((0, 0, 0, 8)),
        activation=draw.choice(("relu", "silu")),
    )


def holds_budget(facts: Figures) -> bool:
    """Tell whether a network keeps the numeric limits; GAP, no max pooling and C1..C4 the grammar gives."""
    return (
        facts.params <= MAX_PARAMS
        and min(facts.receptive_field) >= MIN_FIELD
        and facts.depthwise_separable >= MIN_PAIRS
        and facts.dilated >= MIN_DILATED
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--specs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fill", action="store_true", help="solve the widths of each network for the budget")
    args = parser.parse_args()

    draw = random.Random(args.seed)
    clock = time.process_time
    drawn = clock()
    state = draw.getstate()
    for _ in range(args.specs):
        random_spec(draw)
    constructed = clock() - drawn
    draw.setstate(state)
    layers = survivors = 0
    start = clock()
    for _ in range(args.specs):
        spec = random_spec(draw)
        try:
            spec = fill_budget(spec, MAX_PARAMS) if args.fill else spec
        except SpecError:  # even the narrowest network is over the budget
            continue
        survivors += holds_budget(figures(spec))
        layers += sum(len(stage.layers) for stage in (spec.stem, *spec.stages))
    seconds = clock() - start

    table = Table("", "count", "a second", title="One core, CPU time")
    table.add_row("drawn and constructed", f"{args.specs:,}", f"{args.specs / constructed:,.0f}")
    table.add_row("constructed and measured", f"{args.specs:,}", f"{args.specs / seconds:,.0f}")
    table.add_row("within the whole budget", f"{survivors:,}", f"{survivors / seconds:,.0f}")
    table.caption = f"{layers / args.specs:.1f} layers a network"
    Console().print(table)


if __name__ == "__main__":
    main()
