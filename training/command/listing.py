"""What `--list-presets` and `--print-recipe` print."""

from __future__ import annotations

import json

from rich import box
from rich.table import Table

from models.arithmetic import figures
from models.catalogue import NETWORKS
from records.text import shape
from training.command.options import Options
from training.command.plan import recipe_of
from training.fit import device


def presets_table() -> Table:
    """Return the networks that have names; figures are those of the closed forms, and nothing is built."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("name", "kind", "input", "params", "MACs", "RF"):
        table.add_column(name, justify="left" if name in ("name", "kind") else "right", no_wrap=True)
    for name, entry in NETWORKS.items():
        cells = ["-", "-", "-"]
        if entry.spec is not None:
            facts = figures(entry.spec)
            cells = [f"{facts.params:,}", f"{facts.macs / 1e6:.1f} M", str(min(facts.receptive_field))]
        table.add_row(name, entry.kind, shape(entry.input_size), *cells)
    table.caption = "train.py --preset NAME trains one; rfcalc NAME measures any"
    table.caption_justify = "left"
    return table


def recipe_text(options: Options) -> str:
    """Return the recipe that the flags name, with their changes, as JSON that --recipe reads.

    Raises:
        TrainingError: There is no such recipe, or a value breaks its rule.
    """
    recipe = recipe_of(options, device.resolve(options.device).type)
    return json.dumps(recipe.to_json(), indent=2)
