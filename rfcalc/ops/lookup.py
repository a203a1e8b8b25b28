"""What is known of a node's op, and `rule`, which teaches rfcalc another op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from rfcalc.errors import RuleError
from rfcalc.ops import positions
from rfcalc.ops.call import Call, Rule
from rfcalc.ops.op import Kind as Kind
from rfcalc.ops.op import Macs, unused
from rfcalc.ops.op import Op as Op
from rfcalc.ops.registry import OPS
from rfcalc.trace.graph import Node, write_view

__all__ = ["Kind", "Op", "forget", "known_ops", "op_of", "rule"]

F = TypeVar("F", bound=Rule)


def rule(
    op: Any, *, label: str = "", kind: Kind | str = Kind.OTHER, macs: Macs | None = None
) -> Callable[[F], F]:
    """Teach rfcalc an op.

        @rfcalc.rule(torch.ops.mylib.blur, label="blur", macs=lambda call: 9 * math.prod(call.shape()))
        def blur(call):
            return call.window(kernel=3, padding=1)

    Args:
        op: The op: a packet (`torch.ops.mylib.blur`), an overload, or its name ("mylib::blur").
        label: What reports call it; default: its name.
        kind: Its family, a `Kind` or its value: "norm" and "activation" are folded into the layer before
            them, "convolution", "product" and "recurrent" are layers with weights.
        macs: Function of one `Call` that returns the multiply-accumulates of the whole batch; they are
            counted among the network's, for one image.

    Returns:
        A decorator for a function of one `Call` that returns the `State` of the output (a list for several
        outputs), nearly always by one of Call's helpers: pointwise(), window(...), mixing(...), whole().

    Raises:
        RuleError: `op` is no op, or `kind` no kind.
    """
    name = _qualified(op)
    try:
        family = Kind(kind)
    except ValueError:
        raise RuleError(f"rule({name!r}): kind is one of {', '.join(Kind)}, got {kind!r}") from None

    def register(function: F) -> F:
        OPS[name] = Op(function, label, family, macs)
        _known.clear()
        return function

    return register


def forget(op: Any) -> None:
    """Undo `rule` for an op; it is then probed as any other that rfcalc does not know."""
    OPS.pop(_qualified(op), None)
    _known.clear()


def known_ops() -> set[str]:
    """Return what reports call the ops that have a rule: labels, and names without a namespace."""
    names = {name.rpartition("::")[2].strip("_") for name in OPS}
    return (
        names
        | {op.label for op in OPS.values() if op.label}
        | {"depthwise conv", "transposed conv", "linear"}
    )


def _qualified(op: Any) -> str:
    if isinstance(op, str) and op.count("::") == 1:
        return op
    if hasattr(op, "_qualified_op_name"):
        return str(op._qualified_op_name)
    if hasattr(op, "_schema"):
        return str(op._schema.name)
    raise RuleError(f"rule(op) takes an op of torch.ops or a name such as 'mylib::blur', got {op!r}")


def op_of(node: Node) -> Op:
    """Return what is known of a node's op.

    An op has its own line; an in-place form that of its op; one that PyTorch tags as elementwise the line of
    all of those; any other one nothing.
    """
    # By identity: an op's own hash is a function in Python. The op is kept, so that its id stays its own.
    known = _known.get(id(node.op))
    if known is None:
        known = _known[id(node.op)] = (_looked_up(node.op), node.op)
    return known[0]


def _looked_up(op: Any) -> Op:
    if op is write_view:
        return _WRITE_VIEW
    if op is unused:
        return _UNUSED
    name = op._schema.name
    found = OPS.get(name) or OPS.get(name.rstrip("_"))
    if found is not None:
        return found
    return _ELEMENTWISE if _is_pointwise(op) else _UNKNOWN


def _is_pointwise(op: Any) -> bool:
    """Return whether PyTorch tags an op, or what an in-place op is the form of, as elementwise."""
    if torch.Tag.pointwise in op.tags:
        return True
    namespace, _, name = op._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), name.rstrip("_"), None) if name.endswith("_") else None
    return packet is not None and any(
        torch.Tag.pointwise in getattr(packet, o).tags for o in packet.overloads()
    )


_known: dict[int, tuple[Op, Any]] = {}
_ELEMENTWISE = Op(Call.pointwise)
_UNKNOWN = Op()
_UNUSED = Op(Call.nothing, "unused", Kind.CONSTANT)
_WRITE_VIEW = Op(positions.put_view, kind=Kind.VIEW)
