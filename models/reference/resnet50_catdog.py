"""ResNet-50 for cats and dogs, in both published variants.

`build_model`: the backbone frozen, a new final layer for two classes; 95 % on 2,023 test images, 2 epochs.
`build_deep_head`: the final layer replaced by 2048-270-90-2 with ReLU between, trained with cross-entropy.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import ResNet, resnet50


def build_model() -> ResNet:
    """Return the frozen backbone with a fresh final layer; it maps (N, 3, 224, 224) to scores (N, 2)."""
    model = resnet50(weights=None)
    model.requires_grad_(False)
    model.fc = nn.Linear(2048, 2)
    return model


def build_deep_head() -> ResNet:
    """Return the network with the deeper head, all trainable; it maps (N, 3, 224, 224) to scores (N, 2)."""
    model = resnet50(weights=None)
    model.fc = nn.Sequential(nn.Linear(2048, 270), nn.ReLU(), nn.Linear(270, 90), nn.ReLU(), nn.Linear(90, 2))
    return model
