"""What has to be seen above the ops: content that leaves PyTorch, assigned memory, circular padding."""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from rfcalc.trace.recorder import Recorder

__all__ = ["FunctionMode", "pickling"]

_LEAVING = frozenset(
    [
        torch.Tensor.numpy,
        torch.Tensor.__array__,
        torch.Tensor.tolist,
        torch.Tensor.__dlpack__,
        torch.Tensor.untyped_storage,
        torch.Tensor.storage,
    ]
)
"""Methods that hand a tensor's content to something other than PyTorch."""


_SET_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]
"""What `y.data = x` calls."""


class FunctionMode(TorchFunctionMode):
    """What has to be seen above the ops.

    Content that leaves PyTorch does so without an op. And F.pad(mode="circular") becomes one indexing op for
    each dimension; PyTorch writes slice by slice.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _LEAVING and args:
            self._recorder.leaves(args[0])
        if func == _SET_DATA:
            func(*args, **kwargs)
            self._recorder.becomes(args[0], args[1])
            return None
        if getattr(func, "__name__", "") == "pad" and "circular" in (*args, *kwargs.values()):
            return self._circular(func, args, kwargs)
        return func(*args, **kwargs)

    @staticmethod
    def _circular(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
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


@contextmanager
def pickling(recorder: Recorder) -> Iterator[None]:
    """Note what torch.save(), pickle and copy.copy() take out of PyTorch: they pass by the modes."""

    def reduced(tensor: torch.Tensor) -> Any:
        recorder.leaves(tensor)
        return tensor.__reduce_ex__(2)  # type: ignore[no-untyped-call]

    before = copyreg.dispatch_table.get(torch.Tensor)
    copyreg.pickle(torch.Tensor, reduced)
    try:
        yield
    finally:
        del copyreg.dispatch_table[torch.Tensor]
        if before is not None:
            copyreg.dispatch_table[torch.Tensor] = before
