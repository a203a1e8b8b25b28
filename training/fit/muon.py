"""Muon: momentum whose update of a matrix is replaced by the nearest orthogonal one.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/. A dense convolution's kernel is taken as a matrix,
out x (in * k * k). A depthwise kernel is no matrix in that sense (one input channel each), a norm or a bias
neither: they belong to another optimiser, see `training.fit.optim`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, chosen by its authors for the steepest slope at zero."""


class Muon(torch.optim.Optimizer):
    """Stochastic gradient descent with Nesterov momentum and orthogonalised updates.

    Args:
        params: Matrices and dense convolution kernels.
        lr: Step size: an update has singular values near 1 before it is multiplied by this.
        momentum: Share of the previous steps.
        weight_decay: Decoupled, times the step size.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient."""
        assert closure is None, "Muon evaluates no closure"
        for group in self.param_groups:
            # Kernels of one shape are orthogonalised together: a tiny network has many small ones.
            shapes: dict[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                buffer = state["momentum_buffer"]
                buffer.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(buffer, group["momentum"])
                matrix = update.reshape(len(update), -1)
                shapes.setdefault((matrix.shape[0], matrix.shape[1]), []).append((parameter, matrix))
            for (rows, columns), pairs in shapes.items():
                updates = orthogonalise(torch.stack([matrix for _, matrix in pairs]))
                # A tall matrix moves its outputs as far as a square one: the factor of the authors' code.
                scale = max(1.0, rows / columns) ** 0.5
                for (parameter, _), update in zip(pairs, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.view(parameter.shape), alpha=-group["lr"] * scale)
        return None


def orthogonalise(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Bring the singular values of each matrix near 1 (0.7 to 1.2) by a Newton-Schulz iteration.

    Args:
        matrices: (N, rows, columns); one that is zero stays zero.
        steps: Iterations.
    """
    a, b, c = COEFFICIENTS
    wide = matrices.shape[1] <= matrices.shape[2]
    x: torch.Tensor = matrices if wide else matrices.mT
    # Frobenius norm 1: no singular value is above 1, where the iteration converges.
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        # A singular value s becomes a s + b s^3 + c s^5: 0.1 becomes 0.34, 0.99, then 0.7 to 1.2.
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return x if wide else x.mT
