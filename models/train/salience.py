"""What stands out in a picture, and which of it the camera goes for. Traced into unet_cond."""

import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 16
CANDIDATES = 3
# A candidate that stands out half as much as the best is chosen an eighth as often.
SHARPNESS = 3.0


def _blur(x: Tensor, radius: int, rounds: int) -> Tensor:
    for _ in range(rounds):
        x = F.avg_pool2d(x, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    return x


def salience(picture: Tensor) -> Tensor:
    """How much each cell of 16 × 16 pixels stands out: contrast inside it, and light and colour that differ
    from its surroundings and from the whole picture; less towards the border.

    picture (N, 3, H, W) in 0 … 1 → (N, 1, H / 16, W / 16), from 0 to about 1. H and W are multiples of 16.
    """
    r, g, b = picture[:, :1], picture[:, 1:2], picture[:, 2:3]
    light = 0.299 * r + 0.587 * g + 0.114 * b
    parts = torch.cat([light, 0.7 * (r - g), 0.5 * (0.5 * (r + g) - b)], 1)
    mean = F.avg_pool2d(parts, CELL)
    variance = (F.avg_pool2d(light * light, CELL) - mean[:, :1] * mean[:, :1]).clamp(min=0)
    texture = _blur((variance + 1e-6).sqrt(), 1, 1)
    around = (mean - _blur(mean, 3, 2)).abs().sum(1, keepdim=True)
    whole = (mean - mean.mean((2, 3), keepdim=True)).abs().sum(1, keepdim=True)
    out = _blur(texture + 1.2 * around + 0.6 * whole, 1, 2)
    out = out * _inner(out)
    return out / (out.amax((2, 3), keepdim=True) + 1e-6)


def _inner(cells: Tensor) -> Tensor:
    """1 a little above the middle, where heads are, and 0.15 to 0.3 in the corners: (1, 1, h, w)."""
    x, y = _axis(cells, 3), _axis(cells, 2) + 0.2
    return torch.exp(-0.8 * (x * x)[None, None, None, :] - 0.8 * (y * y)[None, None, :, None])


def _axis(cells: Tensor, dim: int) -> Tensor:
    """Centres of the cells along one axis, in -1 … 1."""
    n = torch.as_tensor(cells.shape[dim], device=cells.device).to(cells.dtype)
    return (2 * torch.arange(cells.shape[dim], device=cells.device).to(cells.dtype) + 1 - n) / n


def places(picture: Tensor) -> tuple[Tensor, Tensor]:
    """The three places that stand out most, the first one first.

    picture (N, 3, H, W) in 0 … 1 → their middles (N, 3, 2), x and y in -1 … 1 of the picture, and how much
    each stands out (N, 3).
    """
    left = salience(picture)
    x, y = _axis(left, 3)[None, None, None, :], _axis(left, 2)[None, None, :, None]
    xs, ys, strengths = [], [], []
    for _ in range(CANDIDATES):
        top = left.amax((2, 3), keepdim=True)
        near = (left - 0.8 * top).clamp(min=0)
        peak = (left >= top).to(left.dtype)
        peak = peak / peak.sum((2, 3), keepdim=True)
        px, py = (peak * x).sum((2, 3)), (peak * y).sum((2, 3))
        # The middle of the place, not its brightest cell.
        distance = (x - px[:, :, None, None]) ** 2 + (y - py[:, :, None, None]) ** 2
        place = near * torch.exp(-distance / 0.08)
        place = place / place.sum((2, 3), keepdim=True)
        px, py = (place * x).sum((2, 3)), (place * y).sum((2, 3))
        distance = (x - px[:, :, None, None]) ** 2 + (y - py[:, :, None, None]) ** 2
        xs.append(px)
        ys.append(py)
        strengths.append(top[:, :, 0, 0])
        left = left * (1 - torch.exp(-distance / 0.18))
    return torch.stack([torch.cat(xs, 1), torch.cat(ys, 1)], 2), torch.cat(strengths, 1)


def focus(found: tuple[Tensor, Tensor], course: Tensor) -> Tensor:
    """The point the camera goes for: one of three places, drawn by course[:, 0], the more so the more it
    stands out, and moved a little by course[:, 1:3].

    course (N, 32) → (N, 2), x and y in -1 … 1 of the picture.
    """
    middles, strengths = found
    strength = strengths**SHARPNESS
    share = strength / strength.sum(1, keepdim=True)
    before = torch.cumsum(share, 1) - share
    chosen = (course[:, :1] >= before).to(share.dtype) * (course[:, :1] < before + share).to(share.dtype)
    chosen = chosen + (1 - chosen.sum(1, keepdim=True)) * before.new_tensor([[1.0, 0.0, 0.0]])
    point = (chosen[:, :, None] * middles).sum(1)
    return (point + 0.36 * (course[:, 1:3] - 0.5)).clamp(-0.85, 0.85)
