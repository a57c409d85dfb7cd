"""The codec of the second edition: a fixed discrete cosine transform in place of a learned VAE.

A picture (N, 3, H, W) in -1 … 1 becomes brightness and two colours, in blocks of 4 × 4 pixels each. All 16
numbers of a block's brightness are kept and the 8 smoothest ones of each colour: latents (N, 32, H/4, W/4).
One convolution there, one back, and nothing to train; a photograph comes back with 41 to 56 dB.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CELL = 4
CHANNELS = 32
# Brightness and the two colours of BT.601, scaled so that a latent of a usual photograph is about 1.
COLOURS = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))
COLOUR_NUMBERS = 8


def basis() -> Tensor:
    """The 16 orthonormal patterns of a block, smooth ones first: (16, 4, 4)."""
    k = torch.arange(CELL, dtype=torch.float64)
    lines = torch.cos(math.pi * (k[None] + 0.5) * k[:, None] / CELL) * math.sqrt(2 / CELL)
    lines[0] /= math.sqrt(2)
    order = sorted(((v, u) for v in range(CELL) for u in range(CELL)), key=lambda n: (n[0] + n[1], n))
    return torch.stack([lines[v][:, None] * lines[u][None] for v, u in order])


def weights() -> tuple[Tensor, Tensor]:
    """Of the encoder (32, 3, 4, 4), and of the decoder (48, 32), its rows in pixel_shuffle's order."""
    colours = torch.tensor(COLOURS, dtype=torch.float64)
    patterns = basis()
    kept = [patterns, patterns[:COLOUR_NUMBERS], patterns[:COLOUR_NUMBERS]]
    encode = torch.cat(
        [colour[None, :, None, None] * part[:, None] for colour, part in zip(colours, kept, strict=True)]
    )
    back = torch.linalg.inv(colours)
    decode = torch.cat(
        [back[:, i, None, None, None] * part[None] for i, part in enumerate(kept)], 1
    )  # (3, 32, 4, 4)
    return encode.float(), decode.permute(0, 2, 3, 1).reshape(3 * CELL**2, CHANNELS).float()


class Encoder(nn.Module):
    """Pictures (N, 3, H, W) in -1 … 1 → latents (N, 32, H/4, W/4)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", weights()[0], persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        return F.conv2d(picture, self.weight, stride=CELL)


class Decoder(nn.Module):
    """Latents (N, 32, h, w) → pictures (N, 3, 4h, 4w), about -1 … 1."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", weights()[1][:, :, None, None], persistent=False)

    def forward(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(F.conv2d(latents, self.weight), CELL)
