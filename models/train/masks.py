"""Where water, foliage and sky are in a picture: a small U-Net over the picture squeezed to a square.

For whoever builds the graph:

    net = masks.load()             # Masks with the weights of masks.safetensors beside this file
    m = net(picture)               # picture (N, 3, H, W) in -1 … 1, H and W multiples of 4
                                   # → (N, 3, H/4, W/4), softly 0 … 1: water, foliage, sky
    ok = masks.fits(m)             # (N, 3) 0 or 1: whether waves, sway, clouds find enough to move

Foliage is leaves, grass and flowers. Everything traces into ONNX with free N, H,
W. One picture of a clip needs it once.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from mask_net import WORK, MaskNet

WEIGHTS = Path(__file__).with_name("masks.safetensors")
# The part of the picture below which a kind does not fit, in the order of mask_net.CLASSES.
LEAST = (0.03, 0.05, 0.08)
# How sure the network must be that anything moves, in the same order, and how much surer for all to move.
DOUBT = (0.3, 0.2, 0.3)
SURE = 0.25


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
        what stands still. Hair and cloth are learnt as foliage, but only what is green enough is taken: the
        network takes fur for hair."""
        small = F.avg_pool2d(picture, 4)
        seen = F.interpolate(
            F.avg_pool2d(picture, 2), size=(WORK, WORK), mode="bilinear", align_corners=False
        )
        p = self.net(seen).sigmoid()
        # What may as well be another kind is none.
        p = (2 * p - p.sum(1, keepdim=True)).clamp(min=0)
        p = _guided(small, _as(p, small))
        t = ((p - self.doubt) / SURE).clamp(0, 1)
        t = t * t * (3 - 2 * t)
        return torch.cat([t[:, :1], t[:, 1:2] * _leafy(small), t[:, 2:] * _open(picture)], 1)


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


def load(path: Path = WEIGHTS) -> Masks:
    whole = Masks()
    whole.net.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
    return whole.eval().requires_grad_(False)
