"""Which module runs now."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules import module as hooks

__all__ = ["Location"]


class Location:
    """Which module is running, followed with hooks on every module of the process: none is on the model.

    Args:
        root: Name of the model's class.
        modules: Qualified name of every module of the model.
    """

    def __init__(self, root: str, modules: Mapping[nn.Module, str]) -> None:
        self._names = {id(m): name for m, name in modules.items()}
        self._calls: dict[int, int] = {}
        self._stack: list[tuple[nn.Module, tuple[str, str, int]]] = []
        self._root = ("", root, 1)
        self._thread = threading.get_ident()
        self.elsewhere = ""

    def __call__(self) -> tuple[str, str, int]:
        """Return (path, class name, call number) of the innermost module of the model that runs now."""
        return self._stack[-1][1] if self._stack else self._root

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow the modules of the process for the length of the context."""
        before = hooks.register_module_forward_pre_hook(self._enter)
        after = hooks.register_module_forward_hook(self._leave)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def _enter(self, module: nn.Module, args: Any) -> None:
        key = id(module)
        if threading.get_ident() != self._thread:
            self.elsewhere = self._names.get(key) or type(module).__name__
            return
        self._calls[key] = self._calls.get(key, 0) + 1
        path = self._names.get(key)
        here = self() if path is None else (path, type(module).__name__, self._calls[key])
        self._stack.append((module, here))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        # A forward that raised and was caught leaves its entry behind.
        while self._stack and self._stack.pop()[0] is not module:
            pass
