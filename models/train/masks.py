"""Where water, foliage and sky are in a picture: a small network over the picture squeezed to a square.

For whoever builds the graph:

    net = masks.load()             # Masks with the weights of masks.safetensors beside this file
    m = net(picture)               # picture (N, 3, H, W) in -1 … 1, H and W multiples of 4
                                   # → (N, 3, H/4, W/4), softly 0 … 1: water, foliage, sky
    ok = masks.fits(m)             # (N, 3) 0 or 1: whether waves, sway, clouds find enough to move
    m, ok = masks.painted(m, p, a) # the same where a person has painted what may move

Foliage is leaves, grass and flowers. Hair and cloth are learnt, too, but not well enough to be moved: they
are none of the three. Everything traces into ONNX with free N, H, W. One picture of a clip needs it once.
"""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from mask_net import WORK, MaskNet

WEIGHTS = Path(__file__).with_name("masks.safetensors")
# The part of the picture below which a kind does not fit: water, foliage, sky.
LEAST = (0.05, 0.1, 0.08)
# A kind is found in what is painted by this part of the paint, or by this part of the kind within it.
FOUND = 1 / 3
# How sure the network must be that anything moves, in the same order, and how much surer for all to move.
DOUBT = (0.3, 0.55, 0.4)
SURE = 0.25
# Sky below the horizon must be this certain, and ends before its border by this part of the picture's height.
CERTAIN = 0.9
MENDED = 0.05
# How likely a green is foliage rather than nothing, as a logarithm, between the greens given.
GREENS = ((-0.05, -3.0), (0.0, 0.0), (0.1, 1.5), (0.25, 4.5), (0.45, 6.5))


def _cells(x: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(x, size, ceil_mode=True, count_include_pad=False)


def _blur(x: Tensor, size: int) -> Tensor:
    half = size // 2
    return F.avg_pool2d(x, size, 1, half, count_include_pad=False)


class Masks(nn.Module):
    """The network, then a guided filter that lays the borders onto the picture's edges."""

    def __init__(self) -> None:
        super().__init__()
        self.net = MaskNet()
        self.register_buffer("doubt", torch.tensor(DOUBT)[None, :, None, None], persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, H, W) in -1 … 1 → (N, 3, H/4, W/4). Doubt counts as no: what moves wrongly looks worse than
        what stands still."""
        small = F.avg_pool2d(picture, 4)
        seen = F.interpolate(
            F.avg_pool2d(picture, 2), size=(WORK, WORK), mode="bilinear", align_corners=False
        )
        p = _as(self.net(seen).softmax(1), small)
        none, water, foliage, sky = p[:, :4].split(1, 1)
        wet = water.mean((1, 2, 3))[:, None, None, None]
        # The network has seen too few meadows and woods, so colour has a say in what it thinks is nothing.
        greener = foliage * _green(small).exp()
        foliage = (none + foliage) * greener / (greener + none).clamp(min=1e-6)
        p = _guided(small, torch.cat([water, foliage, sky], 1))
        t = ((p - self.doubt) / SURE).clamp(0, 1)
        t = t * t * (3 - 2 * t)
        water, foliage, sky = t.split(1, 1)
        sky = sky * _over(water, sky, p[:, 2:])
        # Borders of the sky are found to a few pixels, and what stands before it must not drift with it.
        sky = -F.max_pool2d(-sky, 5, 1, 2) * _open(picture)
        # Mist over meadows is greener than either.
        excess = _excess(small)
        water = water * (1 - _above(excess, 0.2, 0.08))
        across, down = _grain(picture)
        # Reeds and rocks in front of water are rougher than it.
        water = water * (1 - _above(across, 0.12, 0.06))
        # Ripples lie; leaves have no direction. Rows of bushes lie, too, so there must be water.
        ripples = _above(down - 1.6 * across, 0.01, 0.03) * _above(wet, 0.08, 0.06)
        foliage = foliage * (1 - ripples)
        return torch.cat([water, foliage, sky * (1 - _above(excess, 0.16, 0.08))], 1)


def _over(water: Tensor, sky: Tensor, sure: Tensor) -> Tensor:
    """1 above the horizon of the water, 0 below it where the sky is not sure (N, 1, h, w); sure: how sure the
    network is of the sky. The horizon is level, so water shows it also where haze hides it, and what looks
    like sky below is a reflection. But waves rise above others and cameras tilt, so what surely is sky ends
    only a little before its own border."""
    row = torch.ones_like(sky).cumsum(2) - 1
    height = row[:, :, -1:] + 1
    # Where the water of each column begins: most of what is below is water, most of what is above is not.
    more = water - sky - 0.1
    below = more.sum(2, keepdim=True) - more.cumsum(2) + more
    most = below.amax(2, keepdim=True)
    begins = torch.where((below >= most) & (most > MENDED * height), row, 2 * height).amin(2, keepdim=True)
    # Where a quarter of it begins, since some may be found wrong.
    wet = (begins < height).to(row.dtype)
    begun = (begins <= row).to(row.dtype).sum(3, keepdim=True)
    level = ((begun < 0.25 * wet.sum(3, keepdim=True)) | (begun == 0)).to(row.dtype).sum(2, keepdim=True)
    ends = torch.where((row >= level) & (sure < CERTAIN), row, 2 * height).amin(2, keepdim=True)
    return (torch.maximum(level, ends - MENDED * height) - row).clamp(0, 1)


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


def _excess(picture: Tensor) -> Tensor:
    """How much greener than grey the surroundings of each cell are: (N, 1, h, w), -0.9 … 1.8."""
    red, green, blue = (_blur(picture, 9) * 0.5 + 0.5).split(1, 1)
    return (2 * green - red - blue) / (red + green + blue + 0.1)


def _green(picture: Tensor) -> Tensor:
    """GREENS at each cell: (N, 1, h, w)."""
    excess = _excess(picture)
    likely = torch.full_like(excess, GREENS[0][1])
    for (low, before), (high, after) in pairwise(GREENS):
        likely = likely + (after - before) * ((excess - low) / (high - low)).clamp(0, 1)
    return likely


def _above(x: Tensor, least: float, step: float) -> Tensor:
    return ((x - least) / step).clamp(0, 1)


def _light(luma: Tensor) -> Tensor:
    return (0.5 * luma + 0.6).clamp(min=0.05).log()


def _open(picture: Tensor) -> Tensor:
    """0 on things thinner than some 14 pixels, else 1: (N, 1, h, w). Masts and wires in front of the sky are
    thinner than the network sees. Bright ones must stand out more, since clouds are brighter than the sky."""
    luma = 0.3 * picture[:, :1] + 0.59 * picture[:, 1:2] + 0.11 * picture[:, 2:]
    light = _light(_cells(luma, 2))
    # A wire of one pixel counts as much as one of two.
    bright = _light(F.max_pool2d(luma, 2, ceil_mode=True))
    dark = _light(-F.max_pool2d(-luma, 2, ceil_mode=True))
    closed = -F.max_pool2d(-F.max_pool2d(light, 7, 1, 3), 7, 1, 3)
    opened = F.max_pool2d(-F.max_pool2d(-light, 7, 1, 3), 7, 1, 3)
    thin = torch.maximum(_above(closed - dark, 0.16, 0.12), _above(bright - opened, 0.13, 0.1))
    return 1 - F.max_pool2d(F.max_pool2d(thin, 2), 5, 1, 2)


def _grain(picture: Tensor) -> tuple[Tensor, Tensor]:
    """How much lighter or darker than what is on both sides of it whatever is thinner than some 14 pixels is
    around each cell, as a logarithm: from side to side, and up and down, each (N, 1, h, w)."""
    luma = 0.3 * picture[:, :1] + 0.59 * picture[:, 1:2] + 0.11 * picture[:, 2:]
    light = _light(F.avg_pool2d(luma, 2))

    def thin(size: tuple[int, int]) -> Tensor:
        around = (size[0] // 2, size[1] // 2)
        closed = -F.max_pool2d(-F.max_pool2d(light, size, 1, around), size, 1, around)
        opened = F.max_pool2d(-F.max_pool2d(-light, size, 1, around), size, 1, around)
        return _blur(F.avg_pool2d(torch.maximum(closed - light, light - opened), 2), 9)

    return thin((1, 7)), thin((7, 1))


def fits(masks: Tensor) -> Tensor:
    """masks (N, 3, h, w) → (N, 3): 1 where the part of the picture is large enough to be moved, else 0."""
    return (masks.mean((2, 3)) >= masks.new_tensor(LEAST)).to(masks.dtype)


def painted(masks: Tensor, paint: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """masks (1, 3, h, w), what a person painted to move (1, 1, a, b), 0 … 1, zeros for nothing, and which
    of the kinds are asked for (3,), 0 or 1 → the masks, and which of the kinds fit (1, 3). A kind moves where
    the network finds it in the paint. Where it finds hardly any, all the paint moves but what is of another
    kind asked for: whoever paints hair or a puddle knows better. With hardly any left, it does not fit."""
    own = _as(paint, masks)
    inside = masks * own
    wanted = masks * asked[None, :, None, None]
    left = own * (1 - wanted.sum(1, keepdim=True) + wanted).clamp(0, 1)
    # A large paint holds what may move beside much that cannot, so the kind's own size counts, too.
    size = torch.maximum(masks.mean((2, 3)), masks.new_tensor(LEAST))
    found = inside.mean((2, 3)) > FOUND * torch.minimum(left.mean((2, 3)), size)
    fit = found | (left.mean((2, 3)) >= FOUND * own.mean((2, 3)))
    said = paint.amax() > 0
    chosen = torch.where(found[:, :, None, None], inside, left)
    return torch.where(said, chosen, masks), torch.where(said, fit.to(masks.dtype), fits(masks))


def load(path: Path = WEIGHTS) -> Masks:
    whole = Masks()
    whole.net.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
    return whole.eval().requires_grad_(False)
