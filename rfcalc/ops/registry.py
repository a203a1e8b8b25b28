"""The visible table: aten op -> what each output element reads. `rule` teaches it another op."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import torch

from rfcalc.errors import RuleError
from rfcalc.ops import mixing, movement, positions, views, window
from rfcalc.ops.call import Call as Call
from rfcalc.ops.call import Rule as Rule
from rfcalc.trace.graph import write_view

__all__ = ["RULES", "Call", "Rule", "rule", "rule_for"]

RULES: dict[str, Rule] = {}
"""Qualified op name ("aten::convolution") -> rule; overloads share one."""

F = TypeVar("F", bound=Rule)


def rule(op: Any) -> Callable[[F], F]:
    """Teach rfcalc an op.

    Args:
        op: The op: a packet (`torch.ops.mylib.blur`), an overload, or its name ("mylib::blur").

    Returns:
        A decorator for a function of one `Call` that returns the `State` of the output (a list for several
        outputs), nearly always by one of Call's helpers: pointwise(), window(...), mixing(...), whole().

    Raises:
        RuleError: `op` is no op.
    """
    name = _qualified(op)

    def register(function: F) -> F:
        RULES[name] = function
        return function

    return register


def _qualified(op: Any) -> str:
    if isinstance(op, str) and op.count("::") == 1:
        return op
    if hasattr(op, "_qualified_op_name"):
        return str(op._qualified_op_name)
    if hasattr(op, "_schema"):
        return str(op._schema.name)
    raise RuleError(f"rule(op) takes an op of torch.ops or a name such as 'mylib::blur', got {op!r}")


def rule_for(op: Any) -> Rule | None:
    """Return the rule of an op: its own, or the one of pointwise ops where PyTorch tags it as such."""
    if op is write_view:
        return positions.put_view
    name = op._schema.name
    if name in RULES:
        return RULES[name]
    if _is_pointwise(op):
        return Call.pointwise
    return RULES.get(name.rstrip("_"))


@lru_cache(maxsize=4096)
def _is_pointwise(op: Any) -> bool:
    """Return whether PyTorch tags an op, or what an in-place op is the form of, as elementwise."""
    if torch.Tag.pointwise in op.tags:
        return True
    namespace, _, name = op._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), name.rstrip("_"), None) if name.endswith("_") else None
    return packet is not None and any(
        torch.Tag.pointwise in getattr(packet, o).tags for o in packet.overloads()
    )


def _add(function: Rule, names: str) -> None:
    for name in names.split():
        RULES[name if "::" in name else f"aten::{name}"] = function


# Windows and resampling
_add(window.convolution, "convolution")
_add(
    window.max_pool,
    "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices max_pool1d max_pool2d"
    " max_pool3d",
)
_add(window.average_pool, "avg_pool1d avg_pool2d avg_pool3d")
_add(
    window.adaptive_pool,
    "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"
    " adaptive_max_pool2d adaptive_max_pool3d",
)
_add(
    window.resample,
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d"
    " _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d"
    " upsample_trilinear3d upsample_bicubic2d"
    " _upsample_bilinear2d_aa _upsample_bicubic2d_aa",
)
_add(
    window.pad,
    "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d"
    " replication_pad3d",
)

# Whole dimensions
_add(mixing.matmul, "mm bmm")
_add(mixing.addmm, "addmm baddbmm")
_add(mixing.matvec, "mv dot")
_add(mixing.linear, "linear")
_add(
    mixing.attention,
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention"
    " _scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"
    " _scaled_dot_product_attention_math scaled_dot_product_attention"
    " _scaled_dot_product_fused_attention_overrideable",
)
_add(mixing.softmax, "_softmax _log_softmax _safe_softmax")
_add(mixing.layer_norm, "native_layer_norm rms_norm _fused_rms_norm")
_add(mixing.group_norm, "native_group_norm")
_add(
    mixing.batch_norm,
    "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm"
    " _batch_norm_with_update _batch_norm_no_update batch_norm_with_update",
)
_add(
    mixing.reduction,
    "mean sum amax amin max min argmax argmin norm linalg_vector_norm var std var_mean std_mean logsumexp"
    " prod all any median nanmean nansum aminmax count_nonzero",
)
_add(mixing.scan, "cumsum cumprod cummax cummin logcumsumexp _cummax_helper _cummin_helper")
_add(mixing.recurrent, "mkldnn_rnn_layer")
_add(mixing.ordering, "sort topk argsort kthvalue mode")
_add(mixing.spectrum, "_fft_c2c _fft_r2c _fft_c2r")
_add(mixing.grid_sample, "grid_sampler_2d grid_sampler_3d")
_add(mixing.deformable, "torchvision::deform_conv2d")

# Data movement
_add(
    views.same,
    "alias detach clone contiguous lift_fresh lift _to_copy view_as_real view_as_complex resolve_conj"
    " resolve_neg _conj positive",
)
_add(views.reshape, "view _unsafe_view reshape _reshape_alias unflatten flatten")
_add(views.expand, "expand broadcast_to")
_add(views.permute, "permute")
_add(views.transpose, "transpose t swapaxes")
_add(views.unsqueeze, "unsqueeze")
_add(views.squeeze, "squeeze")
_add(movement.slice_, "slice")
_add(movement.select, "select")
_add(
    movement.pieces,
    "split split_with_sizes unsafe_split unsafe_split_with_sizes unbind chunk split_copy"
    " split_with_sizes_copy unbind_copy",
)
_add(movement.flip, "flip")
_add(movement.roll, "roll")
_add(movement.index_select, "index_select")
_add(movement.index, "index _unsafe_index")
_add(movement.cat, "cat concat")
_add(movement.stack, "stack")
_add(views.pixel_shuffle, "pixel_shuffle")
_add(views.pixel_unshuffle, "pixel_unshuffle")
_add(views.unfold, "unfold")
_add(views.im2col, "im2col")
_add(positions.copy, "copy")
_add(
    positions.on_positions,
    "as_strided as_strided_ repeat tile diagonal take channel_shuffle native_channel_shuffle rot90 tril triu",
)
_add(movement.glu, "glu")
_add(movement.gather, "gather take_along_dim")
_add(
    movement.scatter,
    "index_put scatter scatter_add scatter_reduce index_add index_copy index_fill masked_scatter",
)

# Elementwise ops that PyTorch does not tag as such
_add(
    Call.pointwise,
    "native_dropout hardswish log_sigmoid_forward rrelu_with_noise _prelu_kernel floor_divide polar complex"
    " real imag",
)

# Content that the input has no part in
_add(
    Call.nothing,
    "zeros ones full empty arange linspace eye rand randn randint randperm scalar_tensor tril_indices"
    " triu_indices zeros_like ones_like full_like empty_like rand_like randn_like randint_like"
    " new_zeros new_ones new_full"
    " new_empty new_empty_strided empty_strided zero zero_ fill fill_ bernoulli bernoulli_ uniform_ normal_"
    " random_ exponential_ _efficientzerotensor",
)
