"""Muon: momentum whose update of a matrix is replaced by the nearest orthogonal one.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon/. A dense convolution's kernel is taken as a matrix,
out x (in * k * k). A depthwise kernel is no matrix in that sense (one input channel each), a norm or a bias
neither: they belong to another optimiser, see `training.fit.optim`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import torch
from torch.nn import functional as F

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
            if isinstance(group["lr"], torch.Tensor) or any(each.is_cuda for each in group["params"]):
                self._step_at_once(group)
                continue
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

    def _step_at_once(self, group: dict[str, Any]) -> None:
        """Update a group in as few launches as there can be, which is what a step of a GPU waits for.

        The `_foreach` functions are those that torch's own optimisers use.
        """
        parameters = [each for each in group["params"] if each.grad is not None]
        if not parameters:
            return
        for parameter in parameters:
            if "momentum_buffer" not in self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
        moves = torch._foreach_lerp(gradients, buffers, group["momentum"])
        matrices = [move.reshape(len(move), -1) for move in moves]
        dtype = torch.bfloat16 if parameters[0].is_cuda else parameters[0].dtype
        updates = [
            torch.empty_like(parameter).copy_(update.reshape(parameter.shape))
            for parameter, update in zip(parameters, orthogonalise_all(matrices, dtype), strict=True)
        ]
        torch._foreach_mul_(updates, [max(1.0, rows / columns) ** 0.5 for rows, columns in _shapes(matrices)])
        torch._foreach_mul_(updates, group["lr"])
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_sub_(parameters, updates)


_PADDED_AT_MOST = 2**20
"""Numbers of a batch of padded matrices: below it a product takes less time than its launch."""


def orthogonalise_all(matrices: Sequence[torch.Tensor], dtype: torch.dtype) -> list[torch.Tensor]:
    """Orthogonalise matrices of any shapes in few batched products.

    Small ones are padded with rows and columns of zeros, which stay zero throughout the iteration and change
    nothing else: [[X, 0], [0, 0]] times its transpose is [[X X^T, 0], [0, 0]].

    Args:
        matrices: (rows, columns) each.
        dtype: Number format of the products.
    """
    wide = [each if len(each) <= each.shape[1] else each.mT for each in matrices]
    results: dict[int, torch.Tensor] = {}
    for places in _batches(_shapes(wide)):
        rows, columns = (max(wide[place].shape[axis] for place in places) for axis in (0, 1))
        padded = [
            F.pad(wide[place], (0, columns - wide[place].shape[1], 0, rows - wide[place].shape[0]))
            for place in places
        ]
        made = orthogonalise(torch.stack(padded), dtype=dtype)
        for place, each in zip(places, made, strict=True):
            found = each[: wide[place].shape[0], : wide[place].shape[1]]
            results[place] = found if wide[place] is matrices[place] else found.mT
    return [results[place] for place in range(len(matrices))]


def _shapes(matrices: Sequence[torch.Tensor]) -> list[tuple[int, int]]:
    return [(each.shape[0], each.shape[1]) for each in matrices]


def _batches(shapes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return which matrices are computed together: equal shapes, and others while their sum stays small."""
    result: list[list[int]] = []
    rows = columns = 0
    for place in sorted(range(len(shapes)), key=lambda place: shapes[place], reverse=True):
        size = max(rows, shapes[place][0]), max(columns, shapes[place][1])
        joined = bool(result) and (len(result[-1]) + 1) * size[0] * size[1] <= _PADDED_AT_MOST
        if result and (joined or shapes[place] == (rows, columns)):
            result[-1].append(place)
            rows, columns = size
        else:
            result.append([place])
            rows, columns = shapes[place]
    return result


def orthogonalise(matrices: torch.Tensor, steps: int = 5, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Bring the singular values of each matrix near 1 (0.7 to 1.2) by a Newton-Schulz iteration.

    Args:
        matrices: (N, rows, columns); one that is zero stays zero.
        steps: Iterations.
        dtype: Number format of the iteration; None: that of the matrices.
    """
    a, b, c = COEFFICIENTS
    wide = matrices.shape[1] <= matrices.shape[2]
    x: torch.Tensor = matrices if wide else matrices.mT
    # Frobenius norm 1: no singular value is above 1, where the iteration converges.
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype or x.dtype)
    for _ in range(steps):
        # A singular value s becomes a s + b s^3 + c s^5: 0.1 becomes 0.34, 0.99, then 0.7 to 1.2.
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return x if wide else x.mT
