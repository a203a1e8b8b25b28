"""Moves: small changes of a network of the grammar, by which a search climbs from one network to the next.

A move takes a spec and a stream of random numbers, and returns a description and the changed spec, before the
widths are filled up to the budget. Whatever the grammar refuses raises SpecError; the caller draws again.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from models.errors import SpecError
from models.layers import ACTIVATIONS, STAGES, BranchSpec, LayerSpec, StageSpec
from models.spec import NetSpec, stage_widths, with_widths
from search.propose.space import STEP

Move = Callable[[NetSpec, random.Random], tuple[str, NetSpec]]

KINDS = ("conv", "dilated", "depthwise_separable", "split")
"""What a layer may become; a transposed layer stays what it is, since it changes the size of the map."""
FACTORS = (0.7, 0.85, 1.2, 1.4)
"""By how much a stage grows or shrinks before the budget is filled."""
DEEPEST = 6
"""Layers of a stage, at most."""
_DEPTHWISE = ("depthwise_separable", "split")


def _with_stage(spec: NetSpec, name: str, layers: Sequence[LayerSpec]) -> NetSpec:
    if not layers:
        raise SpecError(f"{name}: a stage needs at least one layer, but got none")
    stage: Any = {name: StageSpec(tuple(layers))}
    return replace(spec, **stage)


def _layers(spec: NetSpec, name: str) -> list[LayerSpec]:
    stage: StageSpec = getattr(spec, name)
    return list(stage.layers)


def _choose(rng: random.Random, found: Sequence[int], what: str) -> int:
    if not found:
        raise SpecError(f"no layer here {what}")
    return rng.choice(found)


def _as_kind(layer: LayerSpec, kind: str, rng: random.Random) -> LayerSpec:
    """Return the layer as another kind, with its width, stride, shortcut, norm and activation."""
    branches: tuple[BranchSpec, ...] = ()
    if kind == "split":
        # A branch of kernel 1 passes its channels on, so it cannot halve the map.
        first = BranchSpec(1) if layer.stride == 1 else BranchSpec(3)
        branches = (
            first,
            BranchSpec(3),
            BranchSpec(5),
            BranchSpec(rng.choice((3, 5, 7)), rng.choice((1, 2))),
        )
    return replace(
        layer,
        kind=kind,
        kernel=3,
        dilation=2 if kind == "dilated" else 1,
        padding=None,
        groups=1,
        branches=branches,
        gated=layer.gated and kind in _DEPTHWISE,
        squeeze_excite=layer.squeeze_excite if kind in _DEPTHWISE else 0,
    )


def deepen(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Insert a residual layer of a kind that the stage has, at the stage's end."""
    name = rng.choice(STAGES)
    layers = _layers(spec, name)
    if len(layers) >= DEEPEST:
        raise SpecError(f"{name}: has {DEEPEST} layers already")
    like = layers[_choose(rng, [n for n, each in enumerate(layers) if each.kind in KINDS], "can be copied")]
    new = replace(like, width=layers[-1].width, stride=1, residual=1)
    return f"{name} deeper ({new.kind})", _with_stage(spec, name, [*layers, new])


def flatten(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Remove a layer that a shortcut spans alone."""
    name = rng.choice(STAGES)
    layers = _layers(spec, name)
    place = _choose(
        rng, [n for n, each in enumerate(layers) if each.residual == 1 and len(layers) > 1], "can go"
    )
    return f"{name} less deep (without layer {place})", _with_stage(
        spec, name, layers[:place] + layers[place + 1 :]
    )


def change_kind(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Make a layer another kind."""
    name = rng.choice(STAGES)
    layers = _layers(spec, name)
    place = _choose(rng, [n for n, each in enumerate(layers) if each.kind in KINDS], "changes its kind")
    kind = rng.choice([each for each in KINDS if each != layers[place].kind])
    layers[place] = _as_kind(layers[place], kind, rng)
    return f"{name}.{place} {kind}", _with_stage(spec, name, layers)


def change_kernel(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Give a depthwise layer, or the largest branches of a split, another kernel."""
    name = rng.choice(STAGES)
    layers = _layers(spec, name)
    place = _choose(rng, [n for n, each in enumerate(layers) if each.kind in _DEPTHWISE], "is depthwise")
    layer = layers[place]
    largest = max((branch.kernel for branch in layer.branches), default=layer.kernel)
    kernel = rng.choice([each for each in (3, 5, 7) if each != largest])
    if layer.kind == "split":
        branches = tuple(replace(b, kernel=kernel) if b.kernel == largest else b for b in layer.branches)
        layers[place] = replace(layer, branches=branches)
    else:
        layers[place] = replace(layer, kernel=kernel, padding=None)
    return f"{name}.{place} kernel {kernel}", _with_stage(spec, name, layers)


def change_dilation(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Give a layer, or the last branch of a split, another dilation."""
    name = rng.choice(STAGES)
    layers = _layers(spec, name)
    place = _choose(rng, [n for n, each in enumerate(layers) if each.kind in KINDS[1:]], "may be dilated")
    layer = layers[place]
    present = layer.branches[-1].dilation if layer.branches else layer.dilation
    least = 2 if layer.kind == "dilated" else 1
    dilation = rng.choice([each for each in range(least, 5) if each != present])
    if layer.branches:
        last = replace(layer.branches[-1], dilation=dilation)
        layers[place] = replace(layer, branches=(*layer.branches[:-1], last))
    else:
        layers[place] = replace(layer, dilation=dilation, padding=None)
    return f"{name}.{place} dilation {dilation}", _with_stage(spec, name, layers)


def move_stride(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Let another stage halve the map, one stage fewer, or one more."""
    first = {name: _layers(spec, name)[0] for name in STAGES}
    plain = [name for name, layer in first.items() if layer.kind in KINDS and not layer.residual]
    halving = [name for name in plain if first[name].stride == 2]
    others = [name for name in plain if first[name].stride == 1]
    way = rng.choice(("move", "move", "drop", "add"))
    if (way != "add" and not halving) or (way != "drop" and not others):
        raise SpecError("strides: nothing to move")
    changed, words = spec, []
    if way != "add":
        name = rng.choice(halving)
        changed, words = _strided(changed, name, 1), [f"stride of {name}"]
    if way != "drop":
        name = rng.choice(others)
        changed = _strided(changed, name, 2)
        words.append(f"to {name}" if words else f"stride in {name}")
    return " ".join(words) + (" dropped" if way == "drop" else ""), changed


def _strided(spec: NetSpec, name: str, stride: int) -> NetSpec:
    layers = _layers(spec, name)
    branches = tuple(replace(b, kernel=3) if b.kernel == 1 and stride > 1 else b for b in layers[0].branches)
    layers[0] = replace(layers[0], stride=stride, branches=branches)
    return _with_stage(spec, name, layers)


def trade_width(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Widen or narrow a stage; filling the budget afterwards takes it from, or gives it to, the others."""
    place, factor = rng.randrange(len(STAGES)), rng.choice(FACTORS)
    widths = list(stage_widths(spec))
    widths[place] = max(STEP, round(widths[place] * factor / STEP) * STEP)
    return f"{STAGES[place]} x {factor:g}", with_widths(spec, widths)


def change_stem(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Give the stem another width, or a layer more or fewer."""
    layers = list(spec.stem.layers)
    way = rng.choice(("width", "width", "depth"))
    if way == "width" or not layers:
        width = rng.choice([each for each in range(8, 49, 4) if not layers or each != layers[-1].width])
        like = layers[-1] if layers else LayerSpec("conv", width, activation=spec.c1.layers[0].activation)
        layers = [*layers[:-1], replace(like, width=width)]
        return f"stem {width} wide", replace(spec, stem=StageSpec(tuple(layers)))
    if len(layers) > 1:
        return "stem less deep", replace(spec, stem=StageSpec(tuple(layers[:-1])))
    return "stem deeper", replace(spec, stem=StageSpec((*layers, replace(layers[-1], stride=1, residual=1))))


def change_activation(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Give every layer another activation."""
    present = spec.c1.layers[0].activation
    activation = rng.choice([each for each in ACTIVATIONS if each not in (present, "none")])
    parts: Any = {
        name: StageSpec(tuple(replace(layer, activation=activation) for layer in stage.layers))
        for name, stage in spec.parts()
    }
    output = spec.output
    if output.activation != "none":
        output = replace(output, activation=activation)
    return f"activation {activation}", replace(spec, output=output, **parts)


def change_gate(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Put a gate into the depthwise layers of a stage, or take it away."""
    name = rng.choice(STAGES)
    layers = _layers(spec, name)
    places = [n for n, each in enumerate(layers) if each.kind in _DEPTHWISE]
    gated = not layers[_choose(rng, places, "is depthwise")].gated
    layers = [replace(each, gated=gated) if n in places else each for n, each in enumerate(layers)]
    return f"{name} {'gated' if gated else 'not gated'}", _with_stage(spec, name, layers)


def change_squeeze(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Put squeeze-excite into the layers of a stage, or take it away."""
    name = rng.choice(STAGES)
    layers = _layers(spec, name)
    squeeze = 0 if any(layer.squeeze_excite for layer in layers) else rng.choice((4, 8))
    layers = [replace(layer, squeeze_excite=squeeze) for layer in layers]
    words = f"squeeze-excite {squeeze}" if squeeze else "without squeeze-excite"
    return f"{name} {words}", _with_stage(spec, name, layers)


def change_order(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Let the convolutions of a stage come before or after norm and activation."""
    name = rng.choice(STAGES)
    layers = _layers(spec, name)
    order = "conv-norm-act" if layers[-1].order == "norm-act-conv" else "norm-act-conv"
    layers = [replace(layer, order=order) for layer in layers]
    return f"{name} {order}", _with_stage(spec, name, layers)


def change_span(spec: NetSpec, rng: random.Random) -> tuple[str, NetSpec]:
    """Let one shortcut span two layers that have one each, or the other way round."""
    name = rng.choice(STAGES)
    layers = _layers(spec, name)
    singles = [n for n in range(1, len(layers)) if layers[n].residual == layers[n - 1].residual == 1]
    doubles = [n for n, each in enumerate(layers) if each.residual == 2]
    place = _choose(rng, [*singles, *doubles], "has a shortcut to change")
    double = place in singles
    layers[place] = replace(layers[place], residual=2 if double else 1)
    layers[place - 1] = replace(layers[place - 1], residual=0 if double else 1)
    return f"{name}.{place} shortcut over {2 if double else 1}", _with_stage(spec, name, layers)


MOVES: dict[str, Move] = {
    "deepen": deepen,
    "flatten": flatten,
    "kind": change_kind,
    "kernel": change_kernel,
    "dilation": change_dilation,
    "stride": move_stride,
    "width": trade_width,
    "stem": change_stem,
    "activation": change_activation,
    "gate": change_gate,
    "squeeze": change_squeeze,
    "order": change_order,
    "span": change_span,
}
"""By name. Each is as likely as any other, whatever the number of layers that it could change."""


def crossed(spec: NetSpec, other: NetSpec, whose: str, rng: random.Random) -> tuple[str, NetSpec]:
    """Take a stage over from another network; a stride of 2 stays with its place.

    Args:
        spec: The network that is changed.
        other: Where the stage comes from.
        whose: How the description calls that network.
        rng: The stream of random numbers.
    """
    name = rng.choice(STAGES)
    taken, own = _layers(other, name), _layers(spec, name)
    if taken[0].kind in KINDS and own[0].kind in KINDS:
        taken[0] = replace(taken[0], stride=own[0].stride)
    return f"{name} of {whose}", _with_stage(spec, name, taken)
