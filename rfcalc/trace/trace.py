"""One forward of a model, recorded as a Graph; the model is left exactly as it was found."""

from __future__ import annotations

import math
import random
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from operator import is_
from typing import Any

import torch
from torch import nn

from rfcalc.errors import ForwardError, InputError, one_line
from rfcalc.trace.above import FunctionMode, pickling
from rfcalc.trace.choices import Answers, TooLongError, explored
from rfcalc.trace.failure import failure, names_of, no_tensor
from rfcalc.trace.graph import Graph as Graph
from rfcalc.trace.graph import Node as Node
from rfcalc.trace.graph import Ref as Ref
from rfcalc.trace.graph import Value as Value
from rfcalc.trace.graph import write_view
from rfcalc.trace.inputs import Input, arranged, inputs_of
from rfcalc.trace.location import Location
from rfcalc.trace.prepare import prepared, registered, sample
from rfcalc.trace.recorder import DataDependentError, Recorder
from rfcalc.trace.tape import Tape

__all__ = ["Graph", "Node", "Ref", "Value", "trace", "traced"]


def trace(model: nn.Module, input_size: Any, *, train: bool = False) -> Graph:
    """Run the model once on one sample and return the run as data.

    Shapes alone are followed first (the inputs are meta tensors; weights stay where they are and are not
    read), which costs next to nothing. Where forward() asks for the content of a tensor, it runs for real on
    the model's device, and again with other answers: see `explored`.

    Args:
        model: Any module whose forward takes tensors.
        input_size: (C, *spatial) of one sample, or several inputs: see `inputs_of`.
        train: Run in training mode, on two samples.

    Raises:
        InputError: No input is (C, length), (C, H, W) or (C, D, H, W) of positive integers, or tokens.
        LoadError: The model is no eager network (TorchScript, quantised, ...).
        ForwardError: forward() raised; the message names the layer and the shapes.
    """
    given = inputs_of(input_size)
    return traced(prepared(model, given), given, train=train)


def traced(model: nn.Module, given: tuple[Input, ...], *, train: bool = False) -> Graph:
    """Run a model that is prepared for these inputs; otherwise as `trace`."""
    abstract = True

    def run(answers: Answers, until: float = math.inf) -> Graph:
        return _run(model, given, train, abstract, answers, until)

    def run_again(answers: Answers, until: float) -> Graph | None:
        try:
            return run(answers, until)
        except (_FailedError, DataDependentError, ForwardError):
            return None

    try:
        graph = run(())
    except (_FailedError, DataDependentError):
        abstract = False
        try:
            graph = run(())
        except _FailedError as failed:
            cause = failed.__cause__ or failed
            raise failure(model, given, failed.path, failed.shapes, cause) from cause
    if any(node.op.namespace == "quantized" for node in graph.nodes if node.op is not write_view):
        raise ForwardError(
            f"forward() of {type(model).__name__} calls quantised ops, whose weights are packed where nobody "
            "can count them; name the float network"
        )
    return explored(graph, run_again)


class _FailedError(Exception):
    def __init__(self, path: str, shapes: list[tuple[int, ...]]) -> None:
        super().__init__(path)
        self.path = path
        self.shapes = shapes


@contextmanager
def _untouched(modules: Collection[nn.Module], train: bool) -> Iterator[list[dict[str, Any]]]:
    """Put modules in a mode, and back exactly: attributes that forward() sets or caches included.

    The context is a copy of the attributes of every module; it is empty afterwards.
    """
    saved = [
        (m, dict(m.__dict__), {k: dict(m.__dict__[k]) for k in ("_parameters", "_buffers", "_modules")})
        for m in modules
    ]
    copies = [attributes for _, attributes, _ in saved]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    random_states = random.getstate(), torch.get_rng_state()
    numpy = sys.modules.get("numpy.random")
    numpy_state = numpy.get_state() if numpy is not None else None
    try:
        # Fused attention kernels hide the products inside.
        torch.backends.mha.set_fastpath_enabled(False)
        for m in modules:
            m.training = train
        yield copies
    finally:
        # What recorded the run refers to itself: the copies are not to wait for the garbage collector.
        copies.clear()
        torch.backends.mha.set_fastpath_enabled(fast_path)
        random.setstate(random_states[0])
        torch.set_rng_state(random_states[1])
        if numpy is not None:
            numpy.set_state(numpy_state)
        for m, attributes, registered in saved:
            for key, entries in registered.items():
                _put_back(attributes[key], entries)
            _put_back(m.__dict__, attributes)


def _put_back(current: dict[str, Any], saved: dict[str, Any]) -> None:
    """Bring a dict back to its entries; one that is unchanged is not touched."""
    if current.keys() != saved.keys() or not all(map(is_, current.values(), saved.values())):
        current.clear()
        current.update(saved)


def _run(
    model: nn.Module, given: tuple[Input, ...], train: bool, abstract: bool, answers: Answers, until: float
) -> Graph:
    batch = 2 if train else 1
    modules = {m: name for name, m in model.named_modules()}
    parameters = registered(modules, "_parameters")
    names = {
        id(t): name for found in (parameters, registered(modules, "_buffers")) for name, t in found.items()
    }
    first = next((p for p in parameters.values() if p.is_floating_point()), None)
    dtype = torch.float32 if first is None else first.dtype
    device = "meta" if abstract else "cpu" if first is None else first.device
    location = Location(type(model).__name__, modules)
    with ExitStack() as stack:
        attributes = stack.enter_context(_untouched(modules, train))

        @cache
        def kept() -> frozenset[int]:
            # vars() and not getattr(), which may run the module's code. Few networks need it, and it is long.
            return frozenset(
                id(t) for found in attributes for t in found.values() if isinstance(t, torch.Tensor)
            )

        tape = Tape(names, location, frozenset(map(id, parameters.values())), kept)
        recorder = Recorder(tape, abstract, answers, until)
        stack.enter_context(torch.no_grad())
        stack.enter_context(_uncompiled())
        tensors = [_input(one, batch, dtype, device) for one in given]
        numbers = [recorder.add_input(tensor) for tensor in tensors]
        args, kwargs = arranged(given, tensors)
        stack.enter_context(location.following())
        stack.enter_context(pickling(recorder))
        before = _random_numbers()
        try:
            with FunctionMode(recorder), recorder:
                result = model(*args, **kwargs)
        except (DataDependentError, TooLongError):
            raise
        except Exception as error:
            raise _FailedError(location()[0], recorder.failed_shapes) from error
        if location.elsewhere:
            raise ForwardError(
                f"forward() of {type(model).__name__} runs '{location.elsewhere}' in a thread of its own, "
                "where its ops cannot be followed; call it in the thread that calls forward()"
            )
        outputs = {name: recorder.value_of(t) for name, t in _named_outputs(result, "")}
        drawn = before != _random_numbers()
    if not outputs:
        raise ForwardError(no_tensor(model, result))
    graph = recorder.graph(numbers, outputs, batch, given)
    return replace(graph, names=names_of(model, given), drawn=drawn)


def _random_numbers() -> tuple[Any, ...]:
    """Return the states of the generators that Python and NumPy share with everybody."""
    if "numpy.random" not in sys.modules:
        return (random.getstate(),)
    name, keys, *rest = sys.modules["numpy.random"].get_state()
    return random.getstate(), name, keys.tobytes(), *rest


def _input(one: Input, batch: int, dtype: torch.dtype, device: str | torch.device) -> torch.Tensor:
    try:
        return sample(one, batch, dtype, device)
    except (RuntimeError, MemoryError) as error:
        raise InputError(f"an input of {one} is too large: {error}") from error


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


def _named_outputs(
    result: Any, name: str, around: tuple[int, ...] = ()
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (name, tensor) of nested outputs: "" for a lone tensor, "0", "out", "out.aux" in containers.

    Args:
        result: What forward() returned, or an item of it.
        name: Its name.
        around: Ids of the containers that it is in; one that holds itself is not entered again.
    """
    if isinstance(result, torch.Tensor):
        yield name, result
        return
    if id(result) in around:
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
        key = one_line(str(key))  # it goes to the terminal
        yield from _named_outputs(item, f"{name}.{key}" if name else key, (*around, id(result)))
