"""Reads of every op that works along one axis: convolution, pooling, resampling, padding, slicing.

Pure integers and Fractions; formulas as in the PyTorch documentation of each op. Memoised: a network asks for
few.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import ceil, floor, gcd

from rfcalc.maps.indexmap import Reads

__all__ = [
    "adaptive_pool",
    "bicubic",
    "flip",
    "linear",
    "nearest",
    "pad",
    "piece",
    "places",
    "prefix",
    "put_back",
    "roll",
    "transposed",
    "window",
]

SIZE_DEPENDENT = frozenset({"size-dependent"})
WRAPS = frozenset({"wraps"})


@lru_cache(maxsize=4096)
def window(n_in: int, n_out: int, kernel: int, stride: int, padding: int, dilation: int) -> Reads:
    """Return reads of a convolution or pooling: output o reads o * stride - padding + dilation * t."""
    taps = tuple(dilation * t - padding for t in range(kernel))
    sources = []
    for base in range(0, n_out * stride, stride):
        low, high = -base, n_in - base
        sources.append(tuple([base + t for t in taps if low <= t < high]))
    return Reads(n_in, tuple(sources), 1, stride, (taps,))


@lru_cache(maxsize=1024)
def piece(n_in: int, before: int, n_out: int) -> Reads:
    """Return reads of a concatenation from one of its pieces: input i is output before + i."""
    return Reads(n_in, tuple((i,) if 0 <= i < n_in else () for i in range(-before, n_out - before)))


@lru_cache(maxsize=1024)
def places(n_in: int, n_out: int, kernel: int, stride: int, padding: int, dilation: int) -> Reads:
    """Return reads of windows' places, each apart: o * kernel + t reads o * stride - padding + dilation * t.

    A convolution is the union over t. Windows of 3 every 2 samples: 0 1 2, 2 3 4, 4 5 6, so P = 3 and Q = 2.
    """
    taps = tuple((dilation * t - padding,) for t in range(kernel))
    read = [o * stride + tap for o in range(n_out) for (tap,) in taps]
    return Reads(n_in, tuple((i,) if 0 <= i < n_in else () for i in read), kernel, stride, taps)


@lru_cache(maxsize=1024)
def put_back(windows: int, n_out: int, kernel: int, stride: int, padding: int, dilation: int) -> Reads:
    """Return reads of a fold: output y reads l * kernel + t where l * stride - padding + dilation * t = y.

    The inverse of `places`: windows of 3 every 2 samples, y = 2 is place 2 of window 0 and place 0 of 1,
    that is 0 * 3 + 2 and 1 * 3 + 0; P = 2 outputs, Q = 3 places.
    """

    def taps(y: int) -> tuple[int, ...]:
        found = [(y + padding - dilation * t, t) for t in range(kernel)]
        return tuple(sorted(at // stride * kernel + t for at, t in found if at % stride == 0))

    n_in = windows * kernel
    sources = tuple(tuple(i for i in taps(y) if 0 <= i < n_in) for y in range(n_out))
    return Reads(n_in, sources, stride, kernel, tuple(taps(y) for y in range(stride)))


@lru_cache(maxsize=1024)
def transposed(n_in: int, n_out: int, kernel: int, stride: int, padding: int, dilation: int) -> Reads:
    """Return reads of a transposed convolution: i = (o + padding - dilation * t) / stride if that divides."""

    def taps(o: int) -> tuple[int, ...]:
        places = (o + padding - dilation * t for t in range(kernel))
        return tuple(sorted(place // stride for place in places if place % stride == 0))

    sources = tuple(tuple(i for i in taps(o) if 0 <= i < n_in) for o in range(n_out))
    return Reads(n_in, sources, stride, 1, tuple(taps(o) for o in range(stride)))


@lru_cache(maxsize=1024)
def adaptive_pool(n_in: int, n_out: int) -> Reads:
    """Return reads of adaptive pooling: floor(o * n_in / n_out) .. ceil((o + 1) * n_in / n_out) - 1."""

    def taps(o: int) -> tuple[int, ...]:
        return tuple(range(o * n_in // n_out, -(-(o + 1) * n_in // n_out)))

    common = gcd(n_in, n_out)
    period, shift = n_out // common, n_in // common
    flags = frozenset[str]() if n_in == n_out else SIZE_DEPENDENT
    return Reads(
        n_in,
        tuple(taps(o) for o in range(n_out)),
        period,
        shift,
        tuple(taps(o) for o in range(period)),
        flags,
    )


def _resampled(n_in: int, n_out: int, ratio: Fraction, taps: list[tuple[int, ...]], given: bool) -> Reads:
    sources = tuple(tuple(sorted({min(max(i, 0), n_in - 1) for i in tap})) for tap in taps[:n_out])
    period = ratio.denominator
    flags = frozenset[str]() if given else SIZE_DEPENDENT
    if len(taps) < period:
        return Reads(n_in, sources, flags=SIZE_DEPENDENT)
    return Reads(n_in, sources, period, ratio.numerator, tuple(taps[:period]), flags)


def _ratio(n_in: int, n_out: int, scale: float | None) -> tuple[Fraction, bool]:
    """Return input samples for each output sample, and whether that is free of the input's size."""
    if scale is not None and scale > 0:
        exact = 1 / Fraction(scale).limit_denominator(1 << 12)
        return exact, True
    ratio = Fraction(n_in, n_out)
    return ratio, ratio.numerator == 1 or ratio.denominator == 1


MAX_PHASES = 1 << 12


@lru_cache(maxsize=1024)
def nearest(n_in: int, n_out: int, scale: float | None, exact: bool) -> Reads:
    """Return reads of nearest resampling: floor(o * r), or floor((o + 1/2) * r) for nearest-exact."""
    ratio, given = _ratio(n_in, n_out, scale)
    half = Fraction(1, 2) if exact else Fraction(0)
    count = max(n_out, ratio.denominator if ratio.denominator <= MAX_PHASES else 0)
    return _resampled(n_in, n_out, ratio, [(floor((o + half) * ratio),) for o in range(count)], given)


@lru_cache(maxsize=1024)
def linear(n_in: int, n_out: int, scale: float | None, align_corners: bool) -> Reads:
    """Return reads of (bi)linear resampling without antialiasing: the two samples around each place."""
    ratio, given, offset = _sampling(n_in, n_out, scale, align_corners)
    count = max(n_out, ratio.denominator if ratio.denominator <= MAX_PHASES else 0)
    taps: list[tuple[int, ...]] = []
    for o in range(count):
        place = o * ratio + offset
        low = floor(place)
        taps.append((low,) if place == low else (low, low + 1))
    reads = _resampled(n_in, n_out, ratio, taps, given)
    # A place before the first sample is moved onto it: the second sample then has no weight.
    sources = tuple((0,) if o * ratio + offset <= 0 else s for o, s in enumerate(reads.sources))
    return Reads(n_in, sources, reads.period, reads.shift, reads.taps, reads.flags)


@lru_cache(maxsize=1024)
def bicubic(n_in: int, n_out: int, scale: float | None, align_corners: bool) -> Reads:
    """Return reads of bicubic resampling: floor(x) - 1 .. floor(x) + 2, or x alone where it is a sample."""
    ratio, given, offset = _sampling(n_in, n_out, scale, align_corners)
    count = max(n_out, ratio.denominator if ratio.denominator <= MAX_PHASES else 0)
    taps: list[tuple[int, ...]] = []
    for o in range(count):
        place = o * ratio + offset
        low = floor(place)
        taps.append((low,) if place == low else (low - 1, low, low + 1, low + 2))
    return _resampled(n_in, n_out, ratio, taps, given)


def _sampling(
    n_in: int, n_out: int, scale: float | None, align_corners: bool
) -> tuple[Fraction, bool, Fraction]:
    """Return (ratio, free of the size, place of output 0) of interpolating resampling."""
    if align_corners:
        ratio = Fraction(n_in - 1, n_out - 1) if n_out > 1 else Fraction(0)
        return ratio, n_in == n_out, Fraction(0)
    ratio, given = _ratio(n_in, n_out, scale)
    return ratio, given, (ratio - 1) / 2


@lru_cache(maxsize=256)
def antialiased(n_in: int, n_out: int, scale: float | None, support: int) -> Reads:
    """Return reads of antialiased resampling: every sample within `support` output steps of the place."""
    ratio, given = _ratio(n_in, n_out, scale)
    reach = support * max(ratio, Fraction(1))
    count = max(n_out, ratio.denominator if ratio.denominator <= MAX_PHASES else 0)
    taps = []
    for o in range(count):
        centre = (o + Fraction(1, 2)) * ratio
        # Weights vanish at the ends of the support: sample centres i + 1/2 strictly inside.
        first, last = floor(centre - reach - Fraction(1, 2)) + 1, ceil(centre + reach - Fraction(1, 2)) - 1
        taps.append(tuple(range(first, last + 1)))
    sources = tuple(tuple(i for i in tap if 0 <= i < n_in) for tap in taps[:n_out])
    if ratio.denominator > len(taps):
        return Reads(n_in, sources, flags=SIZE_DEPENDENT)
    flags = frozenset[str]() if given else SIZE_DEPENDENT
    return Reads(n_in, sources, ratio.denominator, ratio.numerator, tuple(taps[: ratio.denominator]), flags)


@lru_cache(maxsize=1024)
def pad(n_in: int, before: int, after: int, mode: str) -> Reads:
    """Return reads of padding, mode constant, reflect, replicate or circular; negative amounts crop."""
    places = range(-before, n_in + after)
    if mode == "reflect" and n_in > 1:
        period = 2 * (n_in - 1)
        indices = [min(i % period, period - i % period) for i in places]
    elif mode == "replicate":
        indices = [min(max(i, 0), n_in - 1) for i in places]
    elif mode == "circular":
        indices = [i % n_in for i in places]
    else:
        indices = list(places)
    sources = tuple((i,) if 0 <= i < n_in else () for i in indices)
    return Reads(n_in, sources, 1, 1, ((-before,),), WRAPS if mode == "circular" else frozenset())


@lru_cache(maxsize=1024)
def roll(n_in: int, shift: int) -> Reads:
    """Return reads of a cyclic shift: output o is input o - shift; the plane ignores the seam."""
    shift %= n_in
    if shift > n_in // 2:
        shift -= n_in
    sources = tuple(((o - shift) % n_in,) for o in range(n_in))
    return Reads(n_in, sources, 1, 1, ((-shift,),), WRAPS if shift else frozenset())


@lru_cache(maxsize=256)
def wrapped(n_in: int, indices: tuple[int, ...]) -> Reads | None:
    """Return reads of steps of 1 around the axis (circular padding by index); None for any other indices."""
    if len(indices) < n_in or any((b - a - 1) % n_in for a, b in pairwise(indices)):
        return None
    before = -indices[0] % n_in
    return Reads(n_in, tuple((i,) for i in indices), 1, 1, ((-before,),), WRAPS)


@lru_cache(maxsize=256)
def flip(n_in: int) -> Reads:
    """Return reads of a reversal."""
    return Reads.gather(n_in, range(n_in - 1, -1, -1))


@lru_cache(maxsize=256)
def prefix(n_in: int) -> Reads:
    """Return reads of a scan such as cumsum: output o reads 0..o."""
    return Reads(n_in, tuple(tuple(range(o + 1)) for o in range(n_in)), flags=SIZE_DEPENDENT)


@lru_cache(maxsize=256)
def suffix(n_in: int) -> Reads:
    """Return reads of a scan from the end: output o reads o..n_in - 1."""
    return Reads(n_in, tuple(tuple(range(o, n_in)) for o in range(n_in)), flags=SIZE_DEPENDENT)
