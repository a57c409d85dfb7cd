"""Where water, foliage and sky are in a picture: a small network over colour, fine texture and place.

For whoever builds the graph:

    net = masks.load()             # MaskNet with the weights of masks.safetensors beside this file
    m = net(picture)               # picture (N, 3, H, W) in -1 … 1, H and W multiples of 4
                                   # → (N, 3, H/4, W/4), softly 0 … 1: water, foliage, sky
    ok = masks.fits(m)             # (N, 3) 0 or 1: whether waves, sway, clouds find enough to move

Foliage is leaves, grass and flowers. Everything traces into ONNX with free N, H, W. One picture of a clip
needs it once.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

CELL = 8
CLASSES = ("water", "foliage", "sky")
WEIGHTS = Path(__file__).with_name("masks.safetensors")
# The part of the picture below which a kind does not fit, in the order of CLASSES.
LEAST = (0.03, 0.05, 0.08)
FEATURES = 48


def _cells(x: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(x, size, ceil_mode=True, count_include_pad=False)


def _edges(x: Tensor) -> Tensor:
    """Strength of the differences across and down: (N, 2, h, w)."""
    padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
    return torch.cat([(padded[:, :, :-1, 1:] - x).abs(), (padded[:, :, 1:, :-1] - x).abs()], 1)


def _blur(x: Tensor, size: int) -> Tensor:
    half = size // 2
    return F.avg_pool2d(x, size, 1, half, count_include_pad=False)


def features(picture: Tensor) -> Tensor:
    """What the network sees of each cell of 8 × 8 pixels and of what is around, above and below it:
    (N, FEATURES, H/8, W/8)."""
    luma = 0.3 * picture[:, :1] + 0.59 * picture[:, 1:2] + 0.11 * picture[:, 2:]
    colour = _cells(picture, CELL)
    mean = _cells(luma, CELL)
    spread = (_cells(luma * luma, CELL) - mean * mean).clamp(min=0).add(1e-4).sqrt()
    fine = [
        _cells(_edges(luma), CELL),
        _cells(_edges(_cells(luma, 2)), 4),
        _cells(_edges(_cells(luma, 4)), 2),
    ]
    red, green, blue = (colour * 0.5 + 0.6).split(1, 1)
    total = red + green + blue
    tint = torch.cat([green / total, blue / total, red / total], 1) * 3 - 1
    own = torch.cat([colour, 3 * tint, 4 * spread, 8 * fine[0], 5 * fine[1], 4 * fine[2]], 1)
    around = torch.cat([colour, 3 * tint[:, :2], 4 * spread, 8 * fine[0]], 1)
    # Sizes by cumsum, since height and width stay free in the trace.
    y = torch.ones_like(mean).cumsum(2)
    x = torch.ones_like(mean).cumsum(3)
    above = around.cumsum(2)
    below = (above[:, :, -1:] - above + around) / (y[:, :, -1:] - y + 1)
    row = around.mean(3, keepdim=True).expand_as(around)
    y = 2 * (y - 0.5) / y[:, :, -1:] - 1
    x = 2 * (x - 0.5) / x[:, :, :, -1:] - 1
    context = [_blur(around, 5), row, above / torch.ones_like(mean).cumsum(2), below]
    return torch.cat([own, *context, y, y * y, x * x], 1)


def _conv(a: int, b: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, size, stride=stride, padding=size // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()
    )


class MaskNet(nn.Module):
    """A few convolutions over the cells and over cells of twice and four times the size, then a guided filter
    that lays the borders onto the picture's edges."""

    def __init__(self, width: int = 28, wide: int = 40) -> None:
        super().__init__()
        self.head = nn.Sequential(_conv(FEATURES, width, 1), _conv(width, width))
        self.down = nn.Sequential(_conv(width, wide, 3, 2), _conv(wide, wide))
        self.lowest = nn.Sequential(_conv(wide, wide, 3, 2), _conv(wide, wide), _conv(wide, wide))
        self.whole = nn.Linear(wide, wide)
        self.up = _conv(2 * wide, wide)
        self.last = _conv(wide + width, width)
        self.tail = nn.Conv2d(width, len(CLASSES), 1)

    def logits(self, seen: Tensor) -> Tensor:
        """features (N, FEATURES, h, w) → (N, 3, h, w)."""
        h0 = self.head(seen)
        h1 = self.down(h0)
        h2 = self.lowest(h1)
        h2 = h2 + self.whole(h2.mean((2, 3)))[:, :, None, None]
        h1 = self.up(torch.cat([_as(h2, h1), h1], 1))
        return self.tail(self.last(torch.cat([_as(h1, h0), h0], 1)))

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, H, W) in -1 … 1 → (N, 3, H/4, W/4). Doubt counts as no: what moves wrongly looks worse than
        what stands still."""
        small = F.avg_pool2d(picture, 4)
        raw = _as(self.logits(features(picture)).sigmoid(), small)
        p = _guided(small, raw)
        p = torch.cat([p[:, :1], p[:, 1:2] * _leafy(small), p[:, 2:]], 1)
        t = ((p - 0.45) / 0.3).clamp(0, 1)
        t = t * t * (3 - 2 * t)
        return torch.cat([t[:, :2], t[:, 2:] * _open(picture)], 1)


def _as(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _guided(picture: Tensor, p: Tensor, size: int = 9, least: float = 4e-3) -> Tensor:
    """Guided filter: p (N, 3, h, w) as a locally linear function of the picture's colour (N, 3, h, w), here
    with the three colours taken as independent, one after the other."""
    for channel in picture.split(1, 1):
        mean_i, mean_p = _blur(channel, size), _blur(p, size)
        variance = (_blur(channel * channel, size) - mean_i * mean_i).clamp(min=0)
        slope = (_blur(channel * p, size) - mean_i * mean_p) / (variance + least)
        offset = mean_p - slope * mean_i
        p = 0.5 * p + 0.5 * (_blur(slope, size) * channel + _blur(offset, size))
    return p


def _leafy(picture: Tensor) -> Tensor:
    """1 where the surroundings are as green or yellow as plants are, 0 where they are brown, grey or red:
    (N, 1, h, w). Wood, fur and heaps of spice have the texture of foliage."""
    red, green, blue = (_blur(picture, 17) * 0.5 + 0.53).split(1, 1)
    greenness = (green - red + 0.6 * (green - blue)) / (red + green + blue)
    return ((greenness + 0.02) / 0.04).clamp(0, 1)


def _open(picture: Tensor) -> Tensor:
    """0 on dark things thinner than some 14 pixels, else 1: (N, 1, h, w). Masts and wires in front of the sky
    are thinner than the network sees."""
    luma = _cells(0.3 * picture[:, :1] + 0.59 * picture[:, 1:2] + 0.11 * picture[:, 2:], 2)
    light = (0.5 * luma + 0.6).clamp(min=0.05).log()
    closed = -F.max_pool2d(-F.max_pool2d(light, 7, 1, 3), 7, 1, 3)
    thin = F.max_pool2d(F.max_pool2d(closed - light, 2), 3, 1, 1)
    return 1 - ((thin - 0.16) / 0.12).clamp(0, 1)


def fits(masks: Tensor) -> Tensor:
    """masks (N, 3, h, w) → (N, 3): 1 where the part of the picture is large enough to be moved, else 0."""
    return (masks.mean((2, 3)) >= masks.new_tensor(LEAST)).to(masks.dtype)


def load(path: Path = WEIGHTS) -> MaskNet:
    net = MaskNet()
    net.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
    return net.eval().requires_grad_(False)
