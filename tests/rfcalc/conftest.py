"""Files for the command to analyse."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        return self.c1(x)
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a file, by default a network of one convolution, and return its path."""

    def write_file(text: str = NET, name: str = "model.py") -> str:
        (tmp_path / name).write_text(textwrap.dedent(text))
        return str(tmp_path / name)

    return write_file
