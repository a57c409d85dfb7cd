"""What flies through a picture, drawn as small windows of pixels around each particle.

Lengths are in short sides of the picture unless they are called pixels. Every function is scripted when a
graph is traced, so that a branch for something absent costs nothing. A drawing is a pair: places in the
flattened frames (E,) and what is added there (E,).
"""

import math

import torch
from torch import Tensor

TRAITS = 12
_ROWS = 4096


def make_table() -> Tensor:
    """What tells particles apart: (2, ROWS, TRAITS), a share of 1 and a whole number from 1 to 9."""
    generator = torch.Generator().manual_seed(7)
    shares = torch.rand(_ROWS, TRAITS, generator=generator)
    times = torch.randint(1, 10, (_ROWS, TRAITS), generator=generator).float()
    return torch.stack([shares.half().float(), times])


def fraction(x: Tensor) -> Tensor:
    return x - torch.floor(x)


def smooth(a: float, b: float, x: Tensor) -> Tensor:
    """0 up to a, 1 from b on, smooth between; a may be the larger one."""
    t = ((x - a) / (b - a)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def wave(x: Tensor) -> Tensor:
    return torch.sin(2 * math.pi * x)


def traits(table: Tensor, details: Tensor) -> Tensor:
    """Uniform numbers of every particle, each moved by the seed by its own steps: (ROWS, TRAITS).

    table from make_table, details (1, 32).
    """
    n = table.shape[2]
    return fraction(table[0] + table[1] * details[:, :n] + details[:, n : 2 * n])


def some(crowd: Tensor, row: int, count: Tensor) -> Tensor:
    """`count` () rows of traits from `row` on."""
    return crowd[row : row + int(count.to(torch.int64))]


def present(spec: Tensor) -> int:
    """How many layers (L, numbers) are drawn: none of a kind that is absent.

    A loop of so many rounds is one body in the graph. Written out for each layer, all kinds together took
    four fifths of the time that the graph takes to open.
    """
    return int((spec[:, 0] > 0).sum())


def many(layer: int) -> int:
    """Where in its kind's rows of the crowd a layer begins whose particles may be hundreds."""
    return 600 * layer - 300 * (layer // 2)


def wrap(x: Tensor, length: Tensor, margin: Tensor) -> Tensor:
    """x in whole lengths → a place from -margin to length + margin, entering where it leaves."""
    return fraction(x) * (length + 2 * margin) - margin


def fade(life: Tensor, part: float) -> Tensor:
    """0 at both ends of a life (0 … 1), 1 between."""
    return (torch.minimum(life, 1 - life) / part).clamp(0, 1)


def window(frames: Tensor, x: Tensor, y: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The pixels around each particle.

    frames (N, 3, H, W), x and y (N, P) in pixels, reach () in pixels → offsets dx (N, P, 1, K) and dy
    (N, P, K, 1), places of the red in the flattened frames (N, P, K, K), 1 inside the picture and 0 outside
    (N, P, K, K).
    """
    height, width = frames.shape[2], frames.shape[3]
    r = int(torch.ceil(reach).to(torch.int64)) + 1
    steps = torch.arange(-r, r + 1)
    left, top = torch.floor(x), torch.floor(y)
    i = left.to(torch.int64)[:, :, None, None] + steps[None, None, None, :]
    j = top.to(torch.int64)[:, :, None, None] + steps[None, None, :, None]
    dx = steps.to(x.dtype)[None, None, None, :] - (x - left)[:, :, None, None]
    dy = steps.to(x.dtype)[None, None, :, None] - (y - top)[:, :, None, None]
    inside = torch.logical_and(i >= 0, i < width).to(x.dtype) * torch.logical_and(j >= 0, j < height).to(
        x.dtype
    )
    first = torch.arange(frames.shape[0])[:, None, None, None] * (3 * height * width)
    place = first + j.clamp(0, height - 1) * width + i.clamp(0, width - 1)
    return dx, dy, place, inside


def channels(frames: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Places of red → places of red, green and blue (3, …) and the frames' values there (3, …)."""
    area = frames.shape[2] * frames.shape[3]
    places = torch.stack([place, place + area, place + 2 * area])
    return places, frames.reshape(-1)[places.reshape(-1)].reshape(places.shape)


def brightness(rgb: Tensor) -> Tensor:
    """(3, …) → (1, …)."""
    return 0.299 * rgb[:1] + 0.587 * rgb[1:2] + 0.114 * rgb[2:]


def cover(places: Tensor, behind: Tensor, alpha: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
    """The drawing of something opaque: alpha (…), colour (3, …)."""
    return places.reshape(-1), (alpha[None] * (colour - behind)).reshape(-1)


def shared(frames: Tensor, place: Tensor, alpha: Tensor) -> Tensor:
    """alpha, lowered where several particles cover one pixel so that the sum stays at 1."""
    sums = torch.zeros([frames.shape[0] * 3 * frames.shape[2] * frames.shape[3]], dtype=alpha.dtype)
    sums = sums.scatter_add(0, place.reshape(-1), alpha.reshape(-1))
    return alpha / sums[place.reshape(-1)].reshape(alpha.shape).clamp(min=1)


def nothing(frames: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros([0], dtype=torch.int64), torch.zeros([0], dtype=frames.dtype)


def with_layer(drawing: tuple[Tensor, Tensor], layer: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.cat([drawing[0], layer[0]]), torch.cat([drawing[1], layer[1]])
