"""The built-in data set: ten kinds of shapes, drawn with their signed distance functions.

Ten thousand training and two thousand test images of 32x32 pixels, the same on every machine. Colour,
texture, place, size, turn, slant and clutter are drawn independently of the class: only the outline tells it.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from rich.console import Console

from training.data.cache import Content, Part
from training.data.named import Named
from training.data.progress import advancing

VERSION = 2
"""Part of the cache's key: raise it when a pixel changes."""
TITLE = "shapes (drawn, NOT CIFAR-10)"
CLASSES = ("arrow", "cross", "disc", "heart", "hexagon", "moon", "ring", "square", "star", "triangle")
SIZE = 32
TRAIN, TEST = 10_000, 2_000

_SEED = 1_906
_CHUNK = 500  # images drawn at a time: bounds the memory

Plane = npt.NDArray[np.float64]
"""(n, H, W) one number a pixel, (n, H, W, 3) with colours."""


def content(console: Console) -> Content:
    """Draw the whole set; takes seconds."""
    with advancing(console, f"drawing {TRAIN + TEST:,} shapes", TRAIN + TEST) as advance:
        train = _part(TRAIN, _SEED, advance)
        test = _part(TEST, _SEED + 1, advance)
    return Content(CLASSES, train, test)


def _part(n: int, seed: int, advance: Callable[[int], None]) -> Part:
    draws = Draws(seed)
    labels = draws.shuffled(np.arange(n) % len(CLASSES))
    images = np.empty((n, SIZE, SIZE, 3), dtype=np.uint8)
    for start in range(0, n, _CHUNK):
        chunk = labels[start : start + _CHUNK]
        images[start : start + _CHUNK] = draw(chunk, draws)
        advance(len(chunk))
    return Part(images, labels)


class Draws:
    """Random numbers from raw bits, because NumPy promises the bits for ever, their use in Generator not."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Plane:
        """Return numbers in [low, high)."""
        raw = self._bits.random_raw(int(np.prod(shape))) >> np.uint64(11)
        unit: Plane = (raw.astype(np.float64) * 2.0**-53).reshape(shape)
        return low + (high - low) * unit

    def shuffled(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return `values` in random order."""
        return values[np.argsort(self._bits.random_raw(len(values)), kind="stable")]


def draw(labels: npt.NDArray[np.int64], draws: Draws) -> npt.NDArray[np.uint8]:
    """Draw one image for each label.

    Args:
        labels: (n,) positions in `CLASSES`.
        draws: Source of everything but the class.

    Returns:
        (n, 32, 32, 3)
    """
    n = len(labels)
    ground_colour, shape_colour = _colours(n, draws)
    image = _textured(ground_colour, draws)
    image = _cluttered(image, draws)

    radius = draws.uniform(7.0, 12.0, n)
    x, y = _canonical(n, radius, draws)
    distance = np.empty_like(x)  # in pixels, negative inside
    for label, name in enumerate(CLASSES):
        mine = labels == label
        distance[mine] = DISTANCES[name](x[mine], y[mine])
    distance *= radius[:, None, None]

    fill = _textured(shape_colour, draws)
    image += _cover(distance)[..., None] * (fill - image)
    # A few images carry a thin line across everything: the outline has to be recognised in spite of it.
    image = _scratched(image, draws)
    image += 0.03 * (draws.uniform(-1, 1, *image.shape) + draws.uniform(-1, 1, *image.shape))
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


def _colours(n: int, draws: Draws) -> tuple[Plane, Plane]:
    """Return the colours of ground and shape, (n, 1, 1, 3) each, at least a visible step apart."""
    dark = draws.uniform(0.02, 0.55, n, 3)
    away = np.abs(draws.uniform(-0.3, 1, n, 3))
    away = away / np.sqrt(np.square(away).sum(axis=1, keepdims=True))
    light = np.clip(dark + draws.uniform(0.45, 0.9, n, 1) * away, 0, 1)
    # Light on dark three times in four: at half, small networks learn nothing for many epochs; always, and a
    # linear classifier reads the outline off the brightness.
    swapped = draws.uniform(0, 1, n, 1) < 0.25
    ground, shape = np.where(swapped, light, dark), np.where(swapped, dark, light)
    return ground[:, None, None], shape[:, None, None]


def _textured(colour: Plane, draws: Draws) -> Plane:
    """Return (n, 32, 32, 3): the colour with a gradient, stripes and blotches over it."""
    n = len(colour)
    x, y = _grid()
    turn = draws.uniform(0, 2 * np.pi, n, 1, 1)
    along = np.cos(turn) * x + np.sin(turn) * y
    tint = draws.uniform(-0.18, 0.18, n, 1, 1, 3)
    texture = (along / SIZE)[..., None] * 2 * tint
    for _ in range(2):
        turn, phase = draws.uniform(0, 2 * np.pi, n, 1, 1), draws.uniform(0, 2 * np.pi, n, 1, 1)
        waves = draws.uniform(0.15, 1.3, n, 1, 1)  # radians a pixel
        stripes = np.sin(waves * (np.cos(turn) * x + np.sin(turn) * y) + phase)
        texture += stripes[..., None] * draws.uniform(-0.07, 0.07, n, 1, 1, 3)
    coarse = draws.uniform(-0.12, 0.12, n, 5, 5)
    texture += _magnified(coarse)[..., None]
    return np.broadcast_to(colour, texture.shape) + texture


def _cluttered(image: Plane, draws: Draws) -> Plane:
    """Lay small dots and bars over the ground, under the shape."""
    n = len(image)
    x, y = _grid()
    for _ in range(3):
        centre_x, centre_y = draws.uniform(-16, 16, 2, n, 1, 1)
        turn = draws.uniform(0, np.pi, n, 1, 1)
        half = draws.uniform(0, 4.5, n, 1, 1)  # 0: a dot; longer: a bar
        width = draws.uniform(0.6, 1.8, n, 1, 1)
        along = np.cos(turn) * (x - centre_x) + np.sin(turn) * (y - centre_y)
        across = -np.sin(turn) * (x - centre_x) + np.cos(turn) * (y - centre_y)
        distance = np.hypot(np.maximum(np.abs(along) - half, 0), across) - width
        image += _cover(distance)[..., None] * (draws.uniform(0, 1, n, 1, 1, 3) - image)
    return image


def _scratched(image: Plane, draws: Draws) -> Plane:
    n = len(image)
    x, y = _grid()
    turn = draws.uniform(0, np.pi, n, 1, 1)
    across = np.cos(turn) * x + np.sin(turn) * y - draws.uniform(-12, 12, n, 1, 1)
    present = draws.uniform(0, 1, n, 1, 1) < 0.2
    cover = np.where(present, _cover(np.abs(across) - draws.uniform(0.3, 0.9, n, 1, 1)), 0)
    image += cover[..., None] * (draws.uniform(0, 1, n, 1, 1, 3) - image)
    return image


def _canonical(n: int, radius: npt.NDArray[np.float64], draws: Draws) -> tuple[Plane, Plane]:
    """Return each pixel's place in its shape's own frame, where the shape has radius 1 and is upright."""
    room = np.maximum(SIZE / 2 - radius, 0.0)[:, None, None]
    x, y = _grid()
    x = x - room * draws.uniform(-1, 1, n, 1, 1)
    y = y - room * draws.uniform(-1, 1, n, 1, 1)
    turn = draws.uniform(-np.pi / 4, np.pi / 4, n, 1, 1)
    x, y = np.cos(turn) * x + np.sin(turn) * y, -np.sin(turn) * x + np.cos(turn) * y
    x = x + draws.uniform(-0.18, 0.18, n, 1, 1) * y
    stretch = draws.uniform(0.9, 1.1, n, 1, 1)
    scale = radius[:, None, None]
    return x * stretch / scale, y / stretch / scale


def _grid() -> tuple[Plane, Plane]:
    """Return x and y of the pixel centres, (1, 32, 32) each, origin in the image's middle, y down."""
    middle = np.arange(SIZE) - (SIZE - 1) / 2
    y, x = np.meshgrid(middle, middle, indexing="ij")
    return x[None], y[None]


def _magnified(coarse: Plane) -> Plane:
    """Stretch (n, k, k) numbers to (n, 32, 32), linearly in between."""
    k = coarse.shape[1]
    place = np.linspace(0, k - 1, SIZE)
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(k)), 0)  # (32, k)
    stretched: Plane = weights @ coarse @ weights.T
    return stretched


def _cover(distance: Plane) -> Plane:
    """Return how much of each pixel lies inside an outline `distance` pixels away."""
    return np.clip(0.5 - distance, 0, 1)


# Signed distances of shapes of radius 1, y down; exact up to the slant of _canonical.


def _disc(x: Plane, y: Plane) -> Plane:
    return np.hypot(x, y) - 0.92


def _ring(x: Plane, y: Plane) -> Plane:
    return np.abs(np.hypot(x, y) - 0.72) - 0.24


def _moon(x: Plane, y: Plane) -> Plane:
    return np.maximum(np.hypot(x, y) - 0.95, 0.72 - np.hypot(x - 0.5, y))


def _heart(x: Plane, y: Plane) -> Plane:
    """After Inigo Quilez, "2D distance functions": two arcs on a corner."""
    x, y = np.abs(x) / 1.65, (0.92 - y) / 1.65
    above = np.hypot(x - 0.25, y - 0.75) - np.sqrt(2) / 4
    half = np.maximum(x + y, 0) / 2
    corner = np.minimum(np.hypot(x, y - 1), np.hypot(x - half, y - half)) * np.sign(x - y)
    return 1.65 * np.where(x + y > 1, above, corner)


def _polygon(*points: tuple[float, float]) -> Callable[[Plane, Plane], Plane]:
    """Return the distance to a polygon, negative inside: nearest edge, sign by crossings of a ray."""
    edges = list(zip(points, points[1:] + points[:1], strict=True))

    def distance(x: Plane, y: Plane) -> Plane:
        nearest = np.full_like(x, np.inf)
        inside = np.zeros(x.shape, dtype=bool)
        for (ax, ay), (bx, by) in edges:
            ex, ey = bx - ax, by - ay
            along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex**2 + ey**2), 0, 1)
            nearest = np.minimum(nearest, np.hypot(x - ax - along * ex, y - ay - along * ey))
            if ey:
                inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * ex / ey)
        return np.where(inside, -nearest, nearest)

    return distance


def _around(*radii: float) -> list[tuple[float, float]]:
    """Return corners at equal angles, the first at the top, at these distances from the middle."""
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii)
    return [(float(r * np.sin(a)), float(-r * np.cos(a))) for r, a in zip(radii, angles, strict=True)]


def _mirrored(*right: tuple[float, float]) -> list[tuple[float, float]]:
    return [*right, *((-x, y) for x, y in reversed(right) if x)]


DISTANCES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "arrow": _polygon(*_mirrored((0, -1), (0.8, -0.1), (0.3, -0.1), (0.3, 0.95))),
    "cross": _polygon(
        *_mirrored((0.28, -0.95), (0.28, -0.28), (0.95, -0.28), (0.95, 0.28), (0.28, 0.28), (0.28, 0.95))
    ),
    "disc": _disc,
    "heart": _heart,
    "hexagon": _polygon(*_around(*[1.0] * 6)),
    "moon": _moon,
    "ring": _ring,
    "square": _polygon((-0.78, -0.78), (0.78, -0.78), (0.78, 0.78), (-0.78, 0.78)),
    "star": _polygon(*_around(*[1.08, 0.46] * 5)),
    "triangle": _polygon(*_around(1.08, 1.08, 1.08)),
}
DATA = Named("shapes", TITLE, SIZE, lambda root, console: content(console), version=VERSION)
