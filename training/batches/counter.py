"""Philox: random numbers that are a function of a counter and a key, on any device, without any state.

J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011, https://doi.org/10.1145/2063384.2063405:
Philox4x32-10. Each counter of four 32-bit words becomes four words of random bits; whoever computes it, in
whatever order and batch, finds the same.
"""

from __future__ import annotations

import torch

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 0xFFFFFFFF


def philox(counter: torch.Tensor, key: tuple[int, int]) -> torch.Tensor:
    """Return random words.

    Args:
        counter: (..., 4) int64, each number one word of 32 bits.
        key: Two words.

    Returns:
        (..., 4) int64, each number one word of 32 bits.
    """
    first, second, third, fourth = counter.unbind(-1)
    low, high = key
    for _ in range(_ROUNDS):
        # A product of two words has 64 bits. Beyond 63 it is a negative int64 with the same bits, and the
        # mask takes the sign off again that the shift spreads.
        one, other = first * _MULTIPLIERS[0], third * _MULTIPLIERS[1]
        first, second, third, fourth = (
            ((other >> 32) & _WORD) ^ second ^ low,
            other & _WORD,
            ((one >> 32) & _WORD) ^ fourth ^ high,
            one & _WORD,
        )
        low, high = (low + _WEYL[0]) & _WORD, (high + _WEYL[1]) & _WORD
    return torch.stack([first, second, third, fourth], dim=-1)


def uniforms(index: torch.Tensor, stream: int, count: int, seed: int, epoch: int) -> torch.Tensor:
    """Return (N, count) float32 numbers, even in [0, 1) in steps of 2^-24.

    Args:
        index: (N,) int64, below 2^32: number of each image in the data set.
        stream: Number of what they are drawn for; two streams share nothing.
        count: Numbers for each image.
        seed: At least 0, below 2^64.
        epoch: Counted from 1.
    """
    blocks = -(-count // 4)
    block = torch.arange(blocks, device=index.device).expand(len(index), blocks)
    counter = torch.stack(
        [
            index[:, None].expand_as(block),
            block,
            torch.full_like(block, stream),
            torch.full_like(block, epoch),
        ],
        dim=-1,
    )  # (N, blocks, 4)
    words = philox(counter, (seed & _WORD, (seed >> 32) & _WORD)).flatten(1)[:, :count]
    return (words >> 8).to(torch.float32) * 2.0**-24
