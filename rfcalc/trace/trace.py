"""One forward of a model, recorded as a Graph; the model is left exactly as it was found."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from rfcalc.errors import ForwardError, InputError
from rfcalc.trace.graph import Graph as Graph
from rfcalc.trace.graph import Node as Node
from rfcalc.trace.graph import Ref as Ref
from rfcalc.trace.graph import Value as Value
from rfcalc.trace.recorder import DataDependentError, Recorder

__all__ = ["Graph", "Node", "Ref", "Value", "trace"]


def trace(model: nn.Module, input_size: tuple[int, ...], *, train: bool = False) -> Graph:
    """Run the model once on one image and return the run as data.

    Shapes alone are followed first (the input is a meta tensor; weights stay where they are and are not
    read), which costs next to nothing. Where forward() asks for the content of a tensor, it runs for real on
    the model's device.

    Args:
        model: Any module whose forward takes one tensor (N, C, *spatial).
        input_size: (C, *spatial) of one image.
        train: Run in training mode, on two images.

    Raises:
        InputError: The size is not (C, length), (C, H, W) or (C, D, H, W) of positive integers.
        ForwardError: forward() raised; the message names the layer and the shapes.
    """
    size = tuple(input_size)
    if not 2 <= len(size) <= 4 or not all(_is_length(n) for n in size):
        raise InputError(
            f"an input is (C, length), (C, H, W) or (C, D, H, W), all positive; got {input_size}"
        )
    model = getattr(model, "_orig_mod", model)
    try:
        return _run(model, size, train, abstract=True)
    except (_FailedError, DataDependentError):
        pass
    try:
        return _run(model, size, train, abstract=False)
    except _FailedError as failure:
        shapes = ", ".join(str(s) for s in failure.shapes) or str((1, *size))
        where = f" at '{failure.path}'" if failure.path else ""
        cause = failure.__cause__
        reason = " ".join(str(cause).split())
        if type(cause) is not RuntimeError or not reason:
            reason = f"{type(cause).__name__}: {reason}".removesuffix(": ")
        raise ForwardError(
            f"forward() of {type(model).__name__} failed{where} with shapes {shapes}: {reason}; "
            f"the input was {'x'.join(map(str, size))}, another can be chosen with --input"
        ) from cause


def _is_length(n: object) -> bool:
    return isinstance(n, int) and n > 0


class _FailedError(Exception):
    def __init__(self, path: str, shapes: list[tuple[int, ...]]) -> None:
        super().__init__(path)
        self.path = path
        self.shapes = shapes


class _Location:
    """Which module is running, followed with hooks on every module of the process: none is on the model."""

    def __init__(self, model: nn.Module) -> None:
        self._names = {id(m): name for name, m in model.named_modules()}
        self._calls: dict[int, int] = {}
        self._stack: list[tuple[nn.Module, tuple[str, str, int]]] = []
        self._root = ("", type(model).__name__, 1)

    def __call__(self) -> tuple[str, str, int]:
        return self._stack[-1][1] if self._stack else self._root

    @contextmanager
    def following(self) -> Iterator[None]:
        before = hooks.register_module_forward_pre_hook(self._enter)
        after = hooks.register_module_forward_hook(self._leave)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def _enter(self, module: nn.Module, args: Any) -> None:
        key = id(module)
        self._calls[key] = self._calls.get(key, 0) + 1
        path = self._names.get(key)
        here = self() if path is None else (path, type(module).__name__, self._calls[key])
        self._stack.append((module, here))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        # A forward that raised and was caught leaves its entry behind.
        while self._stack and self._stack.pop()[0] is not module:
            pass


class _CircularPadding(TorchFunctionMode):
    """Makes F.pad(mode="circular") one indexing op for each dimension; PyTorch writes slice by slice."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "pad" and "circular" in (*args, *kwargs.values()):
            arguments = dict(zip(("input", "pad", "mode", "value"), args, strict=False)) | kwargs
            x, amounts = arguments["input"], arguments["pad"]
            for i in range(len(amounts) // 2):
                n, dim = x.shape[-1 - i], x.dim() - 1 - i
                if max(amounts[2 * i : 2 * i + 2]) > n:
                    return func(*args, **kwargs)
                if any(amounts[2 * i : 2 * i + 2]):
                    places = torch.arange(-amounts[2 * i], n + amounts[2 * i + 1], device="cpu") % n
                    x = x.index_select(dim, places.to(x.device) if not x.is_meta else places)
            return x
        return func(*args, **kwargs)


@contextmanager
def _untouched(model: nn.Module, train: bool) -> Iterator[None]:
    """Put the model in a mode, and back exactly: attributes that forward() sets or caches included."""
    modules = list(model.modules())
    saved = [
        (m, dict(m.__dict__), {k: dict(m.__dict__[k]) for k in ("_parameters", "_buffers", "_modules")})
        for m in modules
    ]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    random_state = torch.get_rng_state()
    try:
        # Fused attention kernels hide the products inside.
        torch.backends.mha.set_fastpath_enabled(False)
        for m in modules:
            m.training = train
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        torch.set_rng_state(random_state)
        for m, attributes, registered in saved:
            for key, entries in registered.items():
                current = attributes[key]
                if current.keys() != entries.keys() or any(current[k] is not entries[k] for k in entries):
                    current.clear()
                    current.update(entries)
            if m.__dict__.keys() != attributes.keys() or any(
                m.__dict__[k] is not v for k, v in attributes.items()
            ):
                m.__dict__.clear()
                m.__dict__.update(attributes)


def _run(model: nn.Module, size: tuple[int, ...], train: bool, abstract: bool) -> Graph:
    batch = 2 if train else 1
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    dtype = torch.float32 if first is None else first.dtype
    device = "meta" if abstract else "cpu" if first is None else first.device
    names = {id(t): name for name, t in [*model.named_parameters(), *model.named_buffers()]}
    location = _Location(model)
    recorder = Recorder(names, location, abstract)
    with ExitStack() as stack:
        stack.enter_context(_untouched(model, train))
        stack.enter_context(torch.no_grad())
        stack.enter_context(_uncompiled())
        image = _image((batch, *size), dtype, device)
        number = recorder.add_input(image)
        stack.enter_context(location.following())
        try:
            with _CircularPadding(), recorder:
                result = model(image)
        except DataDependentError:
            raise
        except Exception as error:
            raise _FailedError(location()[0], recorder.failed_shapes) from error
        outputs = {name: recorder.value_of(t) for name, t in _named_outputs(result, "")}
    if not outputs:
        raise ForwardError(
            f"forward() of {type(model).__name__} returned no tensor but {type(result).__name__}"
        )
    return recorder.graph(number, outputs, batch, size)


def _image(shape: tuple[int, ...], dtype: torch.dtype, device: str | torch.device) -> torch.Tensor:
    try:
        image = torch.empty(shape, dtype=dtype, device=device)
        if not image.is_meta:
            image.copy_(torch.linspace(-1, 1, image.numel()).reshape(shape))
    except (RuntimeError, MemoryError) as error:
        raise InputError(f"an input of {'x'.join(map(str, shape[1:]))} is too large: {error}") from error
    return image


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Run what was compiled as it was written: a compiler would trace the recorder along with the model."""
    # torch.compile() imports dynamo; importing it for a model that is not compiled would cost a second.
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with warnings.catch_warnings(), torch.compiler.set_stance("force_eager"):
        # Hooks see the wrapper as one more module around the part, which is what it is.
        warnings.filterwarnings("ignore", r"Using `torch\.compile\(module\)` when there are global hooks")
        yield


def _named_outputs(result: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, tensor) of nested outputs: "" for a lone tensor, "0", "out", "out.aux" in containers."""
    if isinstance(result, torch.Tensor):
        yield name, result
        return
    items: list[tuple[Any, Any]] = []
    if isinstance(result, dict):
        items = list(result.items())
    elif hasattr(result, "_asdict"):
        items = list(result._asdict().items())
    elif isinstance(result, list | tuple):
        items = list(enumerate(result))
    elif hasattr(result, "__dataclass_fields__"):
        items = [(k, getattr(result, k)) for k in result.__dataclass_fields__]
    for key, item in items:
        yield from _named_outputs(item, f"{name}.{key}" if name else str(key))
