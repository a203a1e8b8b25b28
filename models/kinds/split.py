"""`split`: the channels divided over parallel depthwise branches, concatenated, then a 1x1 to the width."""

from __future__ import annotations

from ..errors import shown
from ..hulls import Hulls, union, window
from ..layers import BranchSpec, LayerSpec
from ..limits import MAX_DILATION
from ..units import Call, Unit
from .kind import Kind

BRANCH_KERNELS = (1, 3, 5, 7)


class Split(Kind):
    """Parallel depthwise branches over shares of the channels; a branch of kernel 1 passes its share on."""

    name = "split"
    mixes = True
    grouped = False
    branched = True

    def problem(self, layer: LayerSpec) -> str | None:
        """Refuse settings that belong to the branches, and branches that make no split."""
        if (layer.kernel, layer.dilation, layer.padding) != (3, 1, None):
            return (
                "kernel and dilation of a split belong to its branches and its padding keeps the map, "
                f"but got kernel={layer.kernel}, dilation={layer.dilation}, padding={layer.padding}"
            )
        if type(layer.branches) is not tuple or len(layer.branches) < 2:
            return f"a split needs a tuple of at least two branches, but got {shown(layer.branches)}"
        for number, branch in enumerate(layer.branches):
            if problem := _branch_problem(number, branch, layer.stride):
                return problem
        if all(branch.kernel == 1 for branch in layer.branches):
            return "at least one branch needs a kernel above 1"
        return None

    def channel_problem(self, layer: LayerSpec, channels: int) -> str | None:
        """Refuse more branches than channels."""
        if len(layer.branches) > channels:
            return f"{len(layer.branches)} branches need as many input channels, but got {channels}"
        return None

    def output_length(self, layer: LayerSpec, length: int) -> int:
        """Return ceil(length / stride): every branch keeps the map before its stride."""
        return (length - 1) // layer.stride + 1

    def first_weights(self, layer: LayerSpec, channels: int) -> int:
        """Return kernel * kernel for each channel of each branch that convolves."""
        taps, (share, left) = 0, divmod(channels, len(layer.branches))
        for number, branch in enumerate(layer.branches):  # `divide` without its list, for searches
            if branch.kernel > 1:
                taps += (share + (number < left)) * branch.kernel * branch.kernel
        return taps

    def passed_channels(self, layer: LayerSpec, channels: int) -> int:
        """Return the channels of the branches of kernel 1."""
        shares = zip(divide(channels, len(layer.branches)), layer.branches, strict=True)
        return sum(share for share, branch in shares if branch.kernel == 1)

    def dilated(self, layer: LayerSpec) -> int:
        """Count the branches."""
        return sum([branch.dilation > 1 and branch.kernel > 1 for branch in layer.branches])

    def reads(self, layer: LayerSpec) -> tuple[int, int]:
        """Return the two halves of the widest branch."""
        half = max([branch.dilation * (branch.kernel - 1) for branch in layer.branches]) // 2
        return half, half

    def through(self, field: Hulls, layer: LayerSpec) -> Hulls:
        """Return the union over the branches."""
        first, *others = (
            window(field, b.kernel, layer.stride, b.dilation * (b.kernel - 1) // 2, b.dilation)
            for b in layer.branches
        )
        for other in others:
            first = union(first, other)
        return first

    def first_elements(
        self, layer: LayerSpec, channels: int, inputs: int, outputs: int, kept: bool, beside: int
    ) -> int:
        """Return the larger of two moments: the branches have run, or their results are concatenated.

        Shares are views of the input, so that the input lives on through the concatenation where a branch
        passes its share on or a shortcut needs it.
        """
        source, middle = channels * inputs, channels * outputs
        passed = self.passed_channels(layer, channels) * outputs
        read = source if passed or kept else 0
        return max(source + middle - passed, 2 * middle - passed + read) + beside

    def first_unit(self, layer: LayerSpec, channels: int) -> Unit:
        """Return a `SplitDepthwise` with the channels, kernel and dilation of every branch."""
        stride: dict[str, object] = {"stride": layer.stride} if layer.stride > 1 else {}
        sizes = zip(divide(channels, len(layer.branches)), layer.branches, strict=True)
        shares = tuple((share, b.kernel, b.dilation if b.kernel > 1 else 1) for share, b in sizes)
        call = Call("SplitDepthwise", shares, stride | {"bias": layer.norm == "none"})
        return Unit("split", call, channels, channels)


def divide(channels: int, branches: int) -> list[int]:
    """Divide channels over branches as evenly as possible; the first branches get what is left over."""
    share, left = divmod(channels, branches)
    return [share + (number < left) for number in range(branches)]


def _branch_problem(number: int, branch: BranchSpec, stride: int) -> str | None:
    """Return the rule that a branch breaks, or None."""
    if type(branch) is not BranchSpec:
        return f"branch {number} must be a BranchSpec, but got {shown(branch)}"
    if branch.kernel not in BRANCH_KERNELS or type(branch.kernel) is not int:
        return f"kernel of branch {number} must be 1, 3, 5 or 7, but got {shown(branch.kernel)}"
    if type(branch.dilation) is not int or not 1 <= branch.dilation <= MAX_DILATION:
        return (
            f"branch {number}: dilation must be a whole number from 1 to {MAX_DILATION}, "
            f"but got {shown(branch.dilation)}"
        )
    if branch.kernel == 1 and stride > 1:
        return f"a branch of kernel 1 passes its channels on, which stride={stride} does not allow"
    return None
