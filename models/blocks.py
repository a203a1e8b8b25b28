"""The modules that torch lacks for the grammar.

`models.source` copies them into standalone files as they are, so they read nothing but their arguments.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Layer(nn.Sequential):
    """Named steps in a row, then the shortcut if there is one, then ``act``."""

    def __init__(
        self,
        *,
        residual: int = 0,
        act: nn.Module | None = None,
        **steps: nn.Module,
    ) -> None:
        super().__init__()
        for name, step in steps.items():
            self.add_module(name, step)
        self.residual = residual
        self.act = act

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Map features (N, C, H, W) to features; a shortcut has the result's shape."""
        for name, step in self._modules.items():
            if name != "act" and step is not None:
                x = step(x)
        if shortcut is not None:
            x = x + shortcut
        if self.act is not None:
            x = self.act(x)
        return x


class Stage(nn.Sequential):
    """Layers in a row; a layer with ``residual=n`` gets the input of n layers back."""

    def __init__(self, *layers: Layer) -> None:
        super().__init__(*layers)
        self.spans = [layer.residual for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, C, H, W) to features."""
        inputs: list[Tensor] = []
        for layer, span in zip(self, self.spans, strict=True):
            inputs = [*inputs, x][-max(1, *self.spans) :]
            x = layer(x, inputs[-span] if span else None)
        return x


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W) along C."""
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class SplitDepthwise(nn.Module):
    """Parallel depthwise convolutions, each on its share of the channels.

    A share is (channels, kernel, dilation); kernel 1 passes its channels through.
    """

    def __init__(
        self,
        *shares: tuple[int, int, int],
        stride: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.sizes = [channels for channels, _, _ in shares]
        self.branches = nn.ModuleList(
            nn.Conv2d(
                channels,
                channels,
                kernel,
                stride=stride,
                padding=dilation * (kernel - 1) // 2,
                dilation=dilation,
                groups=channels,
                bias=bias,
            )
            if kernel > 1
            else nn.Identity()
            for channels, kernel, dilation in shares
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / stride, W / stride)."""
        shares = torch.split(x, self.sizes, dim=1)
        pairs = zip(self.branches, shares, strict=True)
        return torch.cat([branch(share) for branch, share in pairs], dim=1)


class GatedPointwise(nn.Module):
    """1x1 to twice the width, one half activated times the other, 1x1 to the width."""

    def __init__(
        self,
        channels: int,
        width: int,
        act: nn.Module,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * width, 1, bias=bias)
        self.act = act
        self.project = nn.Conv2d(width, width, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, width, H, W)."""
        gate, value = self.expand(x).chunk(2, dim=1)
        mixed: Tensor = self.project(self.act(gate) * value)
        return mixed


class SqueezeExcite(nn.Module):
    """A gate in (0, 1) for each channel, from the means of all channels."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of (N, C, H, W)."""
        gate = F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.excite(gate))


def initialise(model: nn.Module) -> None:
    """Draw He-normal weights; a residual branch starts at zero.

    Its last norm does, or its last convolution where no norm follows one.
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
            fan_in = module.weight[0].numel()
            if isinstance(module, nn.ConvTranspose2d):
                taps = module.kernel_size[0] * module.kernel_size[1]
                strides = module.stride[0] * module.stride[1]
                fan_in = max(module.in_channels // module.groups * taps // strides, 1)
            nn.init.normal_(module.weight, std=(2 / fan_in) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for layer in model.modules():
        if isinstance(layer, Layer) and layer.residual:
            # What follows (activation, squeeze-excite, dropout) keeps zero at zero.
            for name, step in reversed(list(layer.named_children())):
                last = getattr(step, "project", step)  # of a GatedPointwise
                weighs = (nn.BatchNorm2d, nn.LayerNorm, nn.Conv2d, nn.ConvTranspose2d)
                if name != "act" and isinstance(last, weighs):
                    nn.init.zeros_(last.weight)
                    break
