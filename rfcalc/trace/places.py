"""Where the line that runs now was written: in the model's file, in torch.nn, or in rfcalc."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import torch

__all__ = ["is_asked_by_a_module", "place"]

_NOT_THE_USERS = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parents[1]}{os.sep}")
"""With the separator: the folder of torchvision begins as that of torch does."""


_MODULES = f"{Path(torch.nn.__file__).parent}{os.sep}"


def is_asked_by_a_module() -> bool:
    """Return whether the innermost line that is not rfcalc's belongs to torch.nn."""
    for frame, _ in traceback.walk_stack(None):
        file = frame.f_code.co_filename
        if not file.startswith(_NOT_THE_USERS[1]):
            return file.startswith(_MODULES)
    return False


def place() -> str:
    """Return "model.py:12", the innermost line that runs now and belongs to neither PyTorch nor rfcalc."""
    for frame, line in traceback.walk_stack(None):
        file = frame.f_code.co_filename
        if not file.startswith(_NOT_THE_USERS):
            return f"{Path(file).name}:{line}"
    return "forward()"
