"""Pictures with known water, foliage and sky for train_masks.py: photographs with masks drawn by hand, and
scenes composed of them, with mirrored and made water, made skies and things in front.

Pictures are (3, H, W) in 0 … 1; labels (5, H, W) are the parts of nothing, water, foliage, sky and of what is
not counted.
"""

import json
import math
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

import scenes

LABELS = Path(__file__).with_name("mask_labels.json")
KINDS = ("none", "water", "foliage", "sky", "skip")
NONE, WATER, FOLIAGE, SKY, SKIP = range(5)
SIDE = 720
Size = tuple[int, int]


def load_photo(path: Path, ground: str, areas: list[dict]) -> tuple[Tensor, Tensor]:
    """A photograph at SIDE pixels, and its label; a band along each border is not counted."""
    image = Image.open(path).convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    drawn = Image.new("L", image.size, KINDS.index(ground))
    draw = ImageDraw.Draw(drawn)
    for area in areas:
        outline = [(x * image.width / 100, y * image.height / 100) for x, y in area["outline"]]
        draw.polygon(outline, fill=KINDS.index(area["kind"]))
    picture = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    label = F.one_hot(torch.from_numpy(np.array(drawn)).long(), len(KINDS)).permute(2, 0, 1).float()
    mixed = F.max_pool2d(label[None], 9, 1, 4)[0, :SKIP].sum(0) > 1
    label[SKIP] = torch.maximum(label[SKIP], mixed.float())
    label[:SKIP] *= 1 - label[SKIP:]
    return picture, label


class MaskScenes:
    """Endless labelled pictures from the photographs below `folder`, as mask_labels.json names them.

    Raises SystemExit where photographs are missing."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        torch.manual_seed(seed)
        entries = json.loads(LABELS.read_text())["photos"]
        missing = sorted({e["from"] for e in entries if not (folder / e["file"]).is_file()})
        if missing:
            raise SystemExit(f"Photographs are missing below {folder}: {', '.join(missing)}")
        self.pictures = [load_photo(folder / e["file"], e["ground"], e["areas"]) for e in entries]
        parts = [label.mean((1, 2)).tolist() for _, label in self.pictures]
        self.some = [i for i, p in enumerate(parts) if p[WATER] + p[FOLIAGE] + p[SKY] > 0]
        self.none = [
            i for i, p in enumerate(parts) if i not in self.some for _ in range(entries[i].get("times", 1))
        ]
        self.wet = [i for i, p in enumerate(parts) if p[WATER] > 0.02]
        self.leafy = [i for i, p in enumerate(parts) if p[FOLIAGE] > 0.3]
        self.airy = [i for i, p in enumerate(parts) if p[SKY] > 0.1]
        self._add_strands(seed)

    def _add_strands(self, seed: int) -> None:
        """Made textures like wood and fur, which are not foliage; green ones are left out."""
        for picture in scenes.Scenes("cpu", seed).batch(64):
            mean = picture.mean((1, 2))
            if mean[1] < 0.345 * mean.sum():
                label = torch.zeros(5, *picture.shape[1:])
                label[NONE] = 1
                self.none.append(len(self.pictures))
                self.pictures.append((picture, label))

    def crop(self, i: int, size: Size, least: float = 0.45) -> tuple[Tensor, Tensor]:
        picture, label = self.pictures[i]
        height, width = picture.shape[1:]
        ratio = size[1] / size[0] * math.exp(self.random.gauss(0, 0.12))
        tall = self.random.uniform(least, 1) * min(height, width / ratio)
        h, w = max(8, int(min(tall, height))), max(8, int(min(tall * ratio, width)))
        y, x = self.random.randint(0, height - h), self.random.randint(0, width - w)
        picture, label = picture[None, :, y : y + h, x : x + w], label[None, :, y : y + h, x : x + w]
        picture = F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)[0]
        label = F.interpolate(label, size=size, mode="nearest")[0]
        return (picture.flip(2), label.flip(2)) if self.random.random() < 0.5 else (picture, label)

    def noise(self, size: Size, exponent: float | None = None) -> Tensor:
        e = self.random.uniform(1.2, 2.2) if exponent is None else exponent
        fy, fx = torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])[None]
        radius = (fy**2 + fx**2).sqrt().clamp(min=1 / max(size))
        field = torch.fft.irfft2(torch.fft.rfft2(torch.randn(size)) * radius**-e, s=size)
        return (field - field.mean()) / field.std()

    def coloured(self, picture: Tensor, wild: bool) -> Tensor:
        """Other light, tint, noise and focus; wild: any colours, for what is none whatever its own."""
        r = self.random
        picture = picture.clamp(1e-4, 1) ** math.exp(r.gauss(0, 0.25)) * math.exp(r.gauss(0, 0.12))
        if wild:
            mix = torch.randn(3, 3) * 0.35 + torch.eye(3) * 0.5
            picture = torch.einsum("ij,jhw->ihw", mix / mix.sum(1, keepdim=True).clamp(min=0.3), picture)
        else:
            picture = picture * (1 + torch.randn(3, 1, 1) * 0.07)
            grey = picture.mean(0, keepdim=True)
            picture = grey + (picture - grey) * r.uniform(0.55, 1.35)
        if r.random() < 0.04:
            picture = picture.mean(0, keepdim=True).expand(3, -1, -1)
        if r.random() < 0.3:
            picture = picture + torch.randn_like(picture) * r.uniform(0, 0.04)
        if r.random() < 0.15:
            k = r.choice([3, 5])
            padded = F.pad(picture[None], (k // 2,) * 4, mode="replicate")
            picture = F.avg_pool2d(padded, k, 1)[0]
        return picture.clamp(0, 1)

    def sky(self, size: Size) -> Tensor:
        """A gradient, mostly with clouds."""
        r, y = self.random, torch.linspace(0, 1, size[0])[None, :, None]
        top = torch.rand(3, 1, 1)
        if r.random() < 0.6:
            top = torch.tensor([r.uniform(0, 0.6), r.uniform(0.2, 0.75), r.uniform(0.5, 1)])[:, None, None]
        low = (
            0.4 * top + 0.6 * torch.rand(3, 1, 1) if r.random() < 0.4 else top + r.random() * 0.5 * (1 - top)
        )
        picture = (top + (low - top) * y ** r.uniform(0.5, 2)).expand(3, *size)
        if r.random() < 0.7:
            narrow = (size[0], max(8, int(size[1] / r.uniform(1, 3))))
            field = F.interpolate(self.noise(narrow, r.uniform(1.6, 2.3))[None, None], size=size)[0]
            cover = torch.sigmoid((field - r.uniform(-0.5, 1.5)) * r.uniform(1, 4)) * r.uniform(0.2, 1)
            picture = picture + (r.uniform(0.7, 1) - picture) * cover
        return picture.clamp(0, 1)

    def ripples(self, size: Size) -> Tensor:
        r = self.random
        y, x = torch.linspace(0.06, 1, size[0])[:, None], torch.linspace(-1, 1, size[1])[None]
        total = torch.zeros(size)
        for _ in range(10):
            k, turn = r.uniform(8, 70), r.gauss(0, 0.5)
            phase = k * math.sin(turn) * x / (y + 0.2) + k * math.cos(turn) * y.log() + r.uniform(0, 6)
            total = total + torch.sin(phase + 0.8 * self.noise(size, 2)) / k**0.5
        return total / total.std()

    def water(self, size: Size, above: Tensor) -> Tensor:
        """A mirror of what is above it, or a sea of two colours."""
        r, z = self.random, self.ripples(size)
        y = torch.linspace(0, 1, size[0])[:, None]
        deep = torch.tensor([r.uniform(0, 0.35), r.uniform(0.1, 0.5), r.uniform(0.15, 0.6)])[:, None, None]
        if r.random() < 0.6:
            mirror = F.interpolate(above.flip(1)[None], size=size, mode="bilinear", antialias=True)
            moved = z * r.uniform(0, 0.06) * (0.8 * y + 0.2)
            gx, gy = torch.linspace(-1, 1, size[1])[None] + 0.25 * moved, 2 * y - 1 + moved
            grid = torch.stack([gx, gy], -1)[None]
            picture = F.grid_sample(mirror, grid, padding_mode="reflection", align_corners=True)
            k = r.choice([1, 3, 9, 21])
            picture = F.avg_pool2d(F.pad(picture, (0, 0, k // 2, k // 2), mode="replicate"), (k, 1), 1)[0]
            picture = picture + (deep - picture) * (r.uniform(0, 0.5) + r.uniform(0, 0.5) * y)
            return (picture * r.uniform(0.55, 1) + z * r.uniform(0, 0.05)).clamp(0, 1)
        light = above.mean((1, 2))[:, None, None] * r.uniform(0.5, 1.1)
        share = torch.sigmoid(z * r.uniform(0.5, 2.5) + r.uniform(-1, 1))
        picture = deep + (light - deep) * share * (1 - 0.3 * y)
        if r.random() < 0.4:
            foam = torch.sigmoid((z + self.noise(size, 1.2) * 0.5 - r.uniform(1.6, 2.4)) * 6)
            picture = picture + (0.95 - picture) * foam
        return picture.clamp(0, 1)

    def shore(self, size: Size) -> tuple[Tensor, Tensor]:
        r, (height, width) = self.random, size
        line = int(height * r.uniform(0.25, 0.75))
        upper, label = self.crop(r.choice(self.some if r.random() < 0.75 else self.none), (line, width), 0.3)
        if r.random() < 0.35:
            upper, label = self.sky((line, width)), torch.zeros(5, line, width)
            label[SKY] = 1
        wet = torch.zeros(5, height - line, width)
        wet[WATER] = 1
        label = torch.cat([label, wet], 1)
        label[:, max(0, line - 3) : line + 3] = 0
        label[SKIP, max(0, line - 3) : line + 3] = 1
        return torch.cat([upper, self.water((height - line, width), upper)], 1), label

    def skyline(self, size: Size) -> tuple[Tensor, Tensor]:
        r, (height, width) = self.random, size
        picture, label = self.crop(r.choice(self.none + self.leafy), size)
        line = torch.cumsum(torch.randn(width), 0)
        line = line - torch.linspace(0, 1, width) * line[-1]
        line = line / line.abs().max().clamp(min=1) * r.uniform(0, 0.15)
        if r.random() < 0.5:
            k = r.choice([8, 16, 40])
            line = line[::k].repeat_interleave(k)[:width]
        over = (torch.linspace(0, 1, height)[:, None] < (r.uniform(0.2, 0.7) + line)[None]).float()
        air = torch.zeros_like(label)
        air[SKY] = 1
        return picture * (1 - over) + self.sky(size) * over, label * (1 - over) + air * over

    def composed(self, size: Size) -> tuple[Tensor, Tensor]:
        r, kind = self.random, self.random.random()
        if kind < 0.5:
            picture, label = self.shore(size)
        elif kind < 0.75:
            picture, label = self.skyline(size)
        else:
            picture, label = self.crop(r.choice(self.leafy + self.airy + self.wet), size)
            other, its = self.crop(r.choice(self.none + self.leafy), size)
            over = (self.noise(size, r.uniform(1.7, 2.4)) > r.uniform(-0.5, 1)).float()
            picture, label = picture * (1 - over) + other * over, label * (1 - over) + its * over
        for _ in range(r.choice([0, 0, 1, 2, 3])):  # things in front
            h, w = int(size[0] * r.uniform(0.1, 0.5)), int(size[1] * r.uniform(0.05, 0.4))
            thing, its = self.crop(r.choice(self.none), (h, w), 0.1)
            thing = self.coloured(thing, r.random() < 0.6)
            shape = torch.ones(h, w)
            if r.random() < 0.5:
                shape = (
                    torch.linspace(-1, 1, h)[:, None] ** 2 + torch.linspace(-1, 1, w)[None] ** 2 < 1
                ).float()
            y, x = r.randint(0, size[0] - h), r.randint(0, size[1] - w)
            at = (slice(None), slice(y, y + h), slice(x, x + w))
            picture[at] = picture[at] * (1 - shape) + thing * shape
            label[at] = label[at] * (1 - shape) + its * shape
        return picture, label

    def batch(self, n: int, size: Size) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, H, W) in -1 … 1 and labels (n, 5, H, W)."""
        r, pictures, labels = self.random, [], []
        for _ in range(n):
            kind, wild = r.random(), False
            if kind < 0.45:
                picture, label = self.crop(r.choice(self.some if r.random() < 0.7 else self.wet), size)
            elif kind < 0.7:
                picture, label = self.crop(r.choice(self.none), size, 0.2)
                wild = r.random() < 0.35
            else:
                picture, label = self.composed(size)
            pictures.append(self.coloured(picture, wild))
            labels.append(label)
        return torch.stack(pictures) * 2 - 1, torch.stack(labels)
