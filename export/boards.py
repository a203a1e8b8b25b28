"""What a network would take on named boards: an estimate from published latencies, never a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEPTHWISE = (2.0, 3.0)
"""A depthwise convolution's cycles a MAC, over those of a plain one: a judgement, since its inputs are
used once and vector units idle. No published figure separates the two."""
_RESNET8 = (
    "ResNet-8 (12.5 M MACs), MLPerf Tiny v1.1, closed division, Krai: "
    "https://github.com/mlcommons/tiny_results_v1.1"
)


@dataclass(frozen=True)
class Board:
    """A microcontroller board.

    Attributes:
        name: As its vendor calls it.
        core: Of Arm.
        megahertz: Highest clock.
        flash: Bytes.
        ram: Bytes.
        cycles: Least and most cycles a MAC of a plain int8 convolution.
        source: Where these are from.
    """

    name: str
    core: str
    megahertz: int
    flash: int
    ram: int
    cycles: tuple[float, float]
    source: str


# 120 MHz / (4.505 images a second * 12.5 M MACs) = 2.13 with X-CUBE-AI 8.0, / 2.567 = 3.74 with microTVM and
# CMSIS-NN; 280 MHz / (18.574 * 12.5 M) = 1.21, / 18.215 = 1.23.
_M4 = (2.1, 3.7)
_M4_SOURCE = f"{_RESNET8}: NUCLEO-L4R5ZI 4.505 images/s with X-CUBE-AI 8.0, 2.567 with microTVM and CMSIS-NN"
BOARDS = (
    Board(
        "NUCLEO-F446RE",
        "Cortex-M4",
        180,
        512 << 10,
        128 << 10,
        _M4,
        f"{_M4_SOURCE}; scaled by the clock alone",
    ),
    Board("NUCLEO-L4R5ZI", "Cortex-M4", 120, 2048 << 10, 640 << 10, _M4, _M4_SOURCE),
    Board(
        "NUCLEO-H7A3ZI-Q",
        "Cortex-M7",
        280,
        2048 << 10,
        1184 << 10,
        (1.2, 2.1),
        f"{_RESNET8}: 18.2 to 18.6 images/s with X-CUBE-AI; the most is a judgement",
    ),
    Board(
        "a Cortex-M55 with Helium",
        "Cortex-M55",
        400,
        2048 << 10,
        2048 << 10,
        (0.5, 1.5),
        "a judgement: no published figure was found",
    ),
)


def estimate(
    board: Board, macs: Mapping[str, int], *, flash: int, ram: int, plain: int | None
) -> dict[str, Any]:
    """Return cycles and milliseconds as ranges.

    Args:
        board: The board.
        macs: "plain" and "depthwise" multiply-accumulates of one image.
        flash: Bytes that the network needs.
        ram: Bytes that it needs.
        plain: Instructions of the C loops as they are, counted in QEMU; None: not run.
    """
    low, high = (
        rate * macs["plain"] + rate * more * macs["depthwise"]
        for rate, more in zip(board.cycles, DEPTHWISE, strict=True)
    )
    return {
        "board": board.name,
        "core": board.core,
        "megahertz": board.megahertz,
        "fits": flash <= board.flash and ram <= board.ram,
        "cycles": [round(low), round(high)],
        "milliseconds": [round(cycles / board.megahertz / 1000, 1) for cycles in (low, high)],
        # One to two cycles an instruction: loads wait for the flash, and nothing is issued twice on an M4.
        "milliseconds_plain_c": None
        if plain is None or board.core != "Cortex-M4"
        else [round(rate * plain / board.megahertz / 1000) for rate in (1, 2)],
        "source": board.source,
    }
