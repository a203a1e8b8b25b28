"""What is made of a model before it runs: wrappers looked through, lazy layers built, the opaque refused."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, is_lazy
from torch.optim.swa_utils import AveragedModel

from rfcalc.errors import ForwardError, LoadError, wording
from rfcalc.trace.inputs import Input, arranged

__all__ = ["described", "prepared", "registered", "sample"]

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def prepared(model: Any, inputs: Sequence[Input]) -> nn.Module:
    """Return the module to analyse.

    `torch.compile`, data parallelism and weight averaging wrap a network: the network itself is returned, so
    that layers keep their names. A network with lazy layers is copied, and the copy built by a dry run.

    Args:
        model: What the user calls the model.
        inputs: What its forward is called with.

    Raises:
        LoadError: It is no eager network (TorchScript, a torch.export program, quantised) or was never
            initialised; the message says what it is and what to name or write instead.
        ForwardError: The dry run of lazy layers failed.
    """
    model = _unwrapped(model)
    what = described(model)
    if what:
        raise LoadError(f"the model is {what}")
    if isinstance(model, nn.Module) and "_modules" not in vars(model):
        raise LoadError(f"{type(model).__name__} does not call super().__init__() in its __init__")
    # By class: a network has hundreds of modules of a handful of classes, whose metaclass may forbid a hash.
    seen = {id(type(model))}
    try:
        modules = {part: name for name, part in model.named_modules()}
    except TypeError as error:
        raise LoadError(
            f"the modules of {type(model).__name__} cannot be listed ({wording(error)}); a child "
            "has a text as its name, and a hash"
        ) from error
    for part, name in modules.items():
        if id(type(part)) in seen:
            continue
        seen.add(id(type(part)))
        if what := described(part):
            raise LoadError(f"'{name}' of {type(model).__name__} is {what}")
    tensors = [*registered(modules, "_parameters").values(), *registered(modules, "_buffers").values()]
    return _built(model, inputs) if any(map(is_lazy, tensors)) else model


def registered(modules: Mapping[nn.Module, str], kind: str) -> dict[str, torch.Tensor]:
    """Return the parameters or buffers of a network's modules by qualified name, each tensor once.

    The same as `named_parameters()` or `named_buffers()`, each of which walks through all modules again.

    Args:
        modules: Qualified name of every module, in the order of `named_modules()`.
        kind: "_parameters" or "_buffers", the attribute of a module that holds them.
    """
    found: dict[str, torch.Tensor] = {}
    seen = set()
    for module, prefix in modules.items():
        for name, tensor in module.__dict__[kind].items():
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                found[f"{prefix}.{name}" if prefix else name] = tensor
    return found


def _unwrapped(model: Any) -> Any:
    while True:
        if isinstance(model, _WRAPPERS):
            model = model.module
        elif _is_compiled(model):
            # The wrapper of torch.compile has the network as its only child.
            (model,) = model.children()
        else:
            return model


def _is_compiled(model: Any) -> bool:
    if not isinstance(model, nn.Module) or not type(model).__module__.startswith("torch._dynamo"):
        return False
    return len(list(model.children())) == 1


def described(model: Any) -> str:
    """Return what an object is that cannot be analysed, and the way out; "" for an eager module."""
    kind = type(model)
    if issubclass(kind, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        return (
            "TorchScript (torch.jit.script or trace), which hides its layers from rfcalc; "
            "name the eager module that it was made from"
        )
    if issubclass(kind, torch.export.ExportedProgram):
        return (
            "a torch.export program, whose layers are flattened into ops; "
            "name the eager module that it was exported from"
        )
    if not issubclass(kind, nn.Module):
        return f"no torch.nn.Module but of the type {kind.__name__}; name a module"
    home = kind.__module__
    if home.startswith(("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")):
        return (
            f"a quantised layer ({kind.__name__}): a quantised network packs its weights where "
            "nobody can count them; name the float network, before convert() or quantize_dynamic()"
        )
    if inspect.iscoroutinefunction(kind.forward):
        return "asynchronous: its forward() is `async def` and returns no tensor; write `def forward`"
    return ""


def sample(one: Input, batch: int, default: torch.dtype, device: str | torch.device) -> torch.Tensor:
    """Return a tensor for an input: a ramp from -1 to 1 for floats, 0 to 255 for uint8; zeros for tokens.

    Zero is the only token that every embedding has.
    """
    dtype = one.dtype(default)
    tensor = torch.zeros((batch, *one.shape), dtype=dtype, device=device)
    if tensor.is_meta:
        return tensor
    if dtype is torch.bool:
        return tensor.fill_(True)
    if dtype.is_floating_point or dtype.is_complex:
        return tensor.copy_(torch.linspace(-1, 1, tensor.numel()).reshape(tensor.shape))
    if dtype is torch.uint8:
        return tensor.copy_(torch.linspace(0, 255, tensor.numel()).reshape(tensor.shape))
    return tensor


def _copied(model: nn.Module) -> nn.Module:
    """Return a deep copy of a model with lazy layers.

    PyTorch copies parameters without a size, but not buffers (nn.LazyBatchNorm2d): new ones are made.
    """
    new: Any = UninitializedBuffer  # its stub lacks the device and the type
    made = {id(b): new(device=b.device, dtype=b.dtype) for b in model.buffers() if is_lazy(b)}
    return copy.deepcopy(model, made)


def _built(model: nn.Module, inputs: Sequence[Input]) -> nn.Module:
    """Return a copy whose lazy layers have the sizes that one forward gives them."""
    network = _copied(model).eval()
    first = next((p for p in network.parameters() if p.is_floating_point() and not is_lazy(p)), None)
    dtype, device = (torch.float32, "cpu") if first is None else (first.dtype, first.device)
    args, kwargs = arranged(inputs, [sample(one, 1, dtype, device) for one in inputs])
    random_state = torch.get_rng_state()
    try:
        with torch.no_grad():
            network(*args, **kwargs)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ForwardError(
            f"{type(model).__name__} has lazy layers, and the dry run that builds them failed: "
            f"{type(error).__name__}: {reason}; inputs can be chosen with --input"
        ) from error
    finally:
        torch.set_rng_state(random_state)
    for (_, before), (_, after) in zip(model.named_modules(), network.named_modules(), strict=True):
        after.training = before.training
    return network
