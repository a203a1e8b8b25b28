"""What to say where forward() does not run on the inputs given, and which parameter each input goes to."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Any

from torch import nn

from rfcalc.errors import ForwardError, wording
from rfcalc.trace.inputs import Input, arranged

__all__ = ["failure", "names_of", "no_tensor"]


def failure(
    model: nn.Module,
    given: Sequence[Input],
    path: str,
    shapes: Sequence[Sequence[int]],
    cause: BaseException,
) -> ForwardError:
    """Return the error that says where forward() failed, on what, and what to try.

    Args:
        model: The network.
        given: What its forward was called with.
        path: Qualified name of the module that was running.
        shapes: What the failing op read; () where it was no op that failed.
        cause: What was raised.
    """
    name = type(model).__name__
    sizes = ", ".join(map(str, given))
    if isinstance(cause, TypeError) and not path and (wanted := _not_bound(model, given)):
        return ForwardError(
            f"forward() of {name} takes {wanted}, but got {len(given)} input{'s' * (len(given) > 1)} "
            f"({sizes}): {wording(cause)}; each has its own --input: --input {_suggested(model)}"
        )
    shown = ", ".join(str(tuple(s)) for s in shapes) or ", ".join(str((1, *one.shape)) for one in given)
    where = f" at '{path}'" if path else ""
    reason = wording(cause)
    if type(cause) is RuntimeError:
        reason = reason.removeprefix("RuntimeError: ")
    if isinstance(cause, NotImplementedError) and 'required "forward"' in reason:
        parts = ", ".join(f"{n} ({type(m).__name__})" for n, m in model.named_children())
        return ForwardError(
            f"{name} has no forward(); name one of its parts, or write one: {parts or 'none'}"
        )
    if isinstance(cause, NotImplementedError) and "HigherOrderOperator" in reason:
        op = reason.partition("HigherOrderOperator ")[2].split()[0]
        return ForwardError(
            f"forward() of {name} calls torch.{op}(){where}, whose branches cannot be followed; write it in "
            "Python (`if`, `for`), or name the part of the network around it"
        )
    if isinstance(cause, RecursionError):
        reason += (
            f" (the limit is {sys.getrecursionlimit()}; forward() calls itself, or the limit is too low)"
        )
    return ForwardError(
        f"forward() of {name} failed{where} with shapes {shown}: {reason}; "
        f"the input was {sizes}, another can be chosen with --input"
    )


def _parameters(model: nn.Module) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):
        return {}


def _not_bound(model: nn.Module, given: Sequence[Input]) -> str:
    """Return the parameters of forward() where the inputs given do not fit them, "" where they do."""
    args, kwargs = arranged(given, given)
    try:
        inspect.signature(model.forward).bind(*args, **kwargs)
    except TypeError:
        return f"({', '.join(map(str, _parameters(model).values()))})"
    except ValueError:
        return ""
    return ""


def _suggested(model: nn.Module) -> str:
    kinds = inspect.Parameter
    needed = [
        name
        for name, parameter in _parameters(model).items()
        if parameter.default is kinds.empty
        and parameter.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    ]
    return " --input ".join(f"{name}=SIZE" for name in needed) or "SIZE"


def names_of(model: nn.Module, given: Sequence[Input]) -> tuple[str, ...]:
    """Return the parameter of forward() that each input goes to; "input" or its number where unknown."""
    kinds = inspect.Parameter
    positional = [
        name
        for name, parameter in _parameters(model).items()
        if parameter.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    names, place = [], 0
    for one in given:
        if one.name:
            names.append(one.name)
            continue
        names.append(positional[place] if place < len(positional) else str(place))
        place += 1
    return tuple(names)


def no_tensor(model: nn.Module, result: Any) -> str:
    """Return what to say of a forward() that returned no tensor."""
    what = f"forward() of {type(model).__name__} returned no tensor but"
    if inspect.iscoroutine(result):
        result.close()
        return f"{what} a coroutine: it is asynchronous; write `def forward`, not `async def forward`"
    if inspect.isgenerator(result):
        result.close()
        return f"{what} a generator; return the tensors instead of yielding them"
    return f"{what} {type(result).__name__}"
