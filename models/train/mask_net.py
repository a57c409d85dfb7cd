"""The network of the masks: a small U-Net over a picture squeezed to a square. train_masks.py trains it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Foliage is whatever sways: leaves, grass, flowers, hair and cloth.
CLASSES = ("water", "foliage", "sky")
# Side of the square, whatever the picture's size and shape.
WORK = 320
WIDTHS = (16, 32, 64, 112, 144)


def _conv(a: int, b: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, size, stride=stride, padding=size // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()
    )


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width), nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class MaskNet(nn.Module):
    """Five levels, from a half to a 32nd of WORK."""

    def __init__(self) -> None:
        super().__init__()
        w = WIDTHS
        # Colour and place: sky is above, and water lies below what it mirrors.
        self.stem = _conv(5, w[0], 5, 2)
        self.downs = nn.ModuleList(
            nn.Sequential(_conv(a, b, 3, 2), *(_Block(b) for _ in range(blocks)))
            for a, b, blocks in zip(w, w[1:], (1, 2, 2, 2), strict=False)
        )
        self.whole = nn.Linear(w[-1], w[-1])
        self.drop = nn.Dropout2d(0.15)
        self.ups = nn.ModuleList(
            nn.Sequential(_conv(a + b, a, 1), _conv(a, a)) for a, b in zip(w[-2::-1], w[:0:-1], strict=True)
        )
        self.tail = nn.Conv2d(w[0], len(CLASSES), 1)
        axis = (torch.arange(WORK) + 0.5) / WORK * 2 - 1
        place = torch.stack([axis[:, None].expand(WORK, WORK), (axis * axis)[None].expand(WORK, WORK)])
        self.register_buffer("place", place[None], persistent=False)

    def forward(self, seen: Tensor) -> Tensor:
        """(N, 3, WORK, WORK) in -1 … 1 → logits (N, 3, WORK/2, WORK/2) of CLASSES."""
        x = self.stem(torch.cat([seen, self.place.expand(seen.shape[0], -1, -1, -1)], 1))
        kept = []
        for down in self.downs:
            kept.append(x)
            x = down(x)
        x = self.drop(x + self.whole(x.mean((2, 3)))[:, :, None, None])
        for up in self.ups:
            before = kept.pop()
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), before], 1))
        return self.tail(x)
