"""Mixing of images: mixup and cutmix, whole batches at a time.

mixup: H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018, https://arxiv.org/abs/1710.09412;
with a ramp after Tiniest. cutmix: S. Yun et al., "CutMix", 2019, https://arxiv.org/abs/1905.04899; here the
patch lies wholly inside the image, so that its area is the share of the second label exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.fit.recipe import Recipe


@dataclass(frozen=True)
class Mix:
    """How a batch is mixed with its own mirror order."""

    share: float
    """Share of the second image and of its label; 0: nothing is mixed."""
    patch: tuple[int, int, int, int] | None = None
    """Top, left, bottom, right of what is cut from the second image; None: the whole images are blended."""


def draw_mix(recipe: Recipe, done: float, image_size: tuple[int, int], random: np.random.Generator) -> Mix:
    """Draw how a batch is mixed.

    Args:
        recipe: Source of `mixup` and `cutmix`; with both set, each has half of the batches.
        done: Share of the run that is done, 0-1: the ramp.
        image_size: (height, width).
        random: Source of the draws.
    """
    if not recipe.mixup and not recipe.cutmix:
        return Mix(0.0)
    amount, blend, down, across = random.random(4)
    if recipe.mixup and (not recipe.cutmix or blend < 0.5):
        return Mix(float(recipe.mixup * done * amount))
    height, width = image_size
    side = (recipe.cutmix * done * amount) ** 0.5
    tall, broad = round(height * side), round(width * side)
    top, left = int(down * (height - tall + 1)), int(across * (width - broad + 1))
    return Mix(tall * broad / (height * width), (top, left, top + tall, left + broad))


def mixed(images: torch.Tensor, mix: Mix) -> torch.Tensor:
    """Return (B, 3, H, W) images mixed with those at the mirrored places of the batch; may write into them.

    A batch is shuffled already: its mirror order pairs images at random.
    """
    if not mix.share:
        return images
    if mix.patch is None:
        return images.lerp(images.flip(0), mix.share)
    top, left, bottom, right = mix.patch
    images[:, :, top:bottom, left:right] = images[:, :, top:bottom, left:right].flip(0)
    return images


def mixed_by(
    images: torch.Tensor, share: torch.Tensor | None, patch: Sequence[torch.Tensor] | None
) -> torch.Tensor:
    """Return (B, 3, H, W) images mixed as `mixed` does, by numbers that only the device knows.

    Args:
        images: Left as they are.
        share: () share by which the whole images are blended; None: never. 0 where there is a patch.
        patch: () top, left, bottom and right; None: never. All 0 where images are blended.
    """
    other = images.flip(0)
    if patch is not None:
        top, left, bottom, right = patch
        rows = torch.arange(images.shape[2], device=images.device)[:, None]
        columns = torch.arange(images.shape[3], device=images.device)
        inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)  # (H, W)
        images = torch.where(inside, other, images)
    return images if share is None else images.lerp(other, share)
