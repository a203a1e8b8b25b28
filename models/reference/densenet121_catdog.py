"""DenseNet-121 for cats and dogs at 244x244, 98 % published: 7,610,498 parameters.

torchvision's features and global pooling with a head 1024-512-256-2, dropout and log-softmax. The published
table does not give the dropout's probability; 0.2 is chosen here.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn
from torchvision.models import DenseNet, densenet121

DROPOUT = 0.2


def build_model() -> DenseNet:
    """Return the network with fresh weights; it maps images (N, 3, 244, 244) to log-probabilities (N, 2)."""
    model = densenet121(weights=None)
    model.classifier = nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(1024, 512),
            relu1=nn.ReLU(),
            dropout1=nn.Dropout(DROPOUT),
            fc2=nn.Linear(512, 256),
            relu2=nn.ReLU(),
            dropout2=nn.Dropout(DROPOUT),
            output=nn.Linear(256, 2),
            log_softmax=nn.LogSoftmax(dim=1),
        )
    )
    return model
