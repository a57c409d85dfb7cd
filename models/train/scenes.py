"""Pictures to train on: procedural scenes, and crops of the photographs of free_photos.py.

Everything is drawn from one seeded torch generator.
"""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import free_photos

SIDE = 320


def load_photo(path: Path) -> Tensor:
    """(3, H, W) float in 0 … 1."""
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1).float() / 255


def cover(photo: Tensor, width: int, height: int) -> Tensor:
    """Resized to cover width × height (antialiased) and centre-cropped: (1, 3, height, width), -1 … 1, 8
    bits.
    """
    scale = max(width / photo.shape[2], height / photo.shape[1])
    size = (max(height, round(photo.shape[1] * scale)), max(width, round(photo.shape[2] * scale)))
    x = F.interpolate(photo[None], size=size, mode="bicubic", antialias=True, align_corners=False)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    x = x[:, :, top : top + height, left : left + width]
    return (x.clamp(0, 1) * 255).round() / 127.5 - 1


class Scenes:
    """Batches of procedural pictures (n, 3, SIDE, SIDE) in 0 … 1."""

    def __init__(self, device: str, seed: int) -> None:
        self.device = device
        self.rng = torch.Generator(device=device).manual_seed(seed)
        axis = (torch.arange(SIDE, device=device) + 0.5) / SIDE * 2 - 1
        self.y, self.x = torch.meshgrid(axis, axis, indexing="ij")
        fy = torch.fft.fftfreq(SIDE, device=device)[:, None]
        fx = torch.fft.rfftfreq(SIDE, device=device)[None]
        self.fy, self.fx = fy, fx
        self.radius = (fy**2 + fx**2).sqrt().clamp(min=1 / SIDE)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(*shape, generator=self.rng, device=self.device) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.rng, device=self.device)

    def power_noise(self, n: int, low: float = 0.7, high: float = 2.2) -> Tensor:
        """1/f^e noise, zero mean and unit spread: (n, SIDE, SIDE)."""
        exponent = self.uniform(n, 1, 1, low=low, high=high)
        spectrum = torch.fft.rfft2(self.normal(n, SIDE, SIDE)) * self.radius ** (-exponent)
        field = torch.fft.irfft2(spectrum, s=(SIDE, SIDE))
        field = field - field.mean((1, 2), keepdim=True)
        return field / field.std((1, 2), keepdim=True)

    def strands(self, n: int) -> Tensor:
        """Hair, grass and wood: noise stretched along several directions, mixed by smooth masks. (n, SIDE,
        SIDE).
        """
        total = torch.zeros(n, SIDE, SIDE, device=self.device)
        weight = torch.zeros_like(total)
        base = self.uniform(n, 1, 1, high=math.pi)
        for _ in range(4):
            angle = base + self.normal(n, 1, 1) * 0.5
            along = self.fx * angle.cos() + self.fy * angle.sin()
            across = -self.fx * angle.sin() + self.fy * angle.cos()
            length = self.uniform(n, 1, 1, low=8, high=60)
            peak = self.uniform(n, 1, 1, low=0.04, high=0.35)
            width = self.uniform(n, 1, 1, low=0.3, high=1.0) * peak
            shape = torch.exp(-((along * length) ** 2)) * torch.exp(-(((across.abs() - peak) / width) ** 2))
            field = torch.fft.irfft2(torch.fft.rfft2(self.normal(n, SIDE, SIDE)) * shape, s=(SIDE, SIDE))
            field = field / field.std((1, 2), keepdim=True).clamp(min=1e-6)
            mask = torch.exp(2.5 * self.power_noise(n, 1.8, 2.5))
            total += field * mask
            weight += mask
        field = total / weight
        return field / field.std((1, 2), keepdim=True).clamp(min=1e-6)

    def glyphs(self, n: int) -> Tensor:
        """Text-like marks in rows: 0 … 1."""
        cell = int(self.uniform(1, low=7, high=34))
        rows, ink = SIDE // cell + 1, max(1, cell // 7)
        bits = (self.uniform(n, 1, rows * 7, rows * 7) < 0.5).float()
        position = torch.arange(rows * 7, device=self.device) % 7
        gap = (position < 5).float()
        letter = gap[None, :] * (position < 6).float()[:, None]
        word = (self.uniform(n, 1, rows, rows) < 0.75).float().repeat_interleave(7, 2).repeat_interleave(7, 3)
        marks = bits * letter * word
        # Strokes rather than dots: joined along rows or columns.
        joined = (
            torch.where(
                self.uniform(n, 1, rows, rows).repeat_interleave(7, 2).repeat_interleave(7, 3) < 0.5,
                F.max_pool2d(marks, (1, 3), 1, (0, 1)),
                F.max_pool2d(marks, (3, 1), 1, (1, 0)),
            )
            * letter
            * word
        )
        size = max(SIDE, round(rows * 7 * max(ink, cell / 7)))
        big = F.interpolate(joined, size=(size, size), mode="bilinear" if cell > 12 else "area")
        return big[:, 0, :SIDE, :SIDE].clamp(0, 1)

    def palette(self, n: int, count: int) -> Tensor:
        """Colours of one picture belong together: (n, count, 3)."""
        mean = self.uniform(n, 1, 1, low=0.15, high=0.8)
        light = mean + self.normal(n, count, 1) * self.uniform(n, 1, 1, low=0.08, high=0.35)
        tint = self.normal(n, 1, 3) * 0.07 + self.normal(n, count, 3) * self.uniform(
            n, 1, 1, low=0.02, high=0.22
        )
        wild = (self.uniform(n, count, 1) < 0.06).float()
        return (light + tint * (1 + 2 * wild)).clamp(0, 1)

    def dead_leaves(self, n: int, shapes: int) -> Tensor:
        """Overlapping shapes of every size with texture, shading and edges of varying sharpness."""
        colours = self.palette(n, 24)
        textures = torch.stack(
            [
                self.power_noise(n),
                self.power_noise(n, 0.2, 1.2),
                self.strands(n),
                torch.sin(
                    (self.x * self.normal(n, 1, 1) + self.y * self.normal(n, 1, 1))
                    * self.uniform(n, 1, 1, low=15, high=220)
                ),
            ],
            1,
        )
        rows = torch.arange(n, device=self.device)

        def pick() -> Tensor:
            return colours[rows, torch.randint(0, 24, (n,), generator=self.rng, device=self.device)]

        picture = (
            pick()[:, :, None, None]
            + 0.15 * self.power_noise(n, 1.5, 2.5)[:, None]
            + 0.1 * self.normal(n, 3, 1, 1) * self.y
        )
        softness = self.uniform(n, 1, 1, low=0.6, high=2.5)
        blurred = (self.uniform(n, 1, 1) < 0.3).float()
        for k in range(shapes):
            # Radii with a density of about 1/r^3, larger shapes first so that small ones survive.
            share = k / max(shapes - 1, 1)
            low, high = 0.012 + 0.08 * (1 - share), 0.05 + 0.75 * (1 - share) ** 2
            r = low * (low / high) ** (-self.uniform(n, 1, 1))
            cx, cy = self.uniform(n, 1, 1, low=-1.1, high=1.1), self.uniform(n, 1, 1, low=-1.1, high=1.1)
            angle = self.uniform(n, 1, 1, high=math.pi)
            aspect = torch.exp(self.normal(n, 1, 1) * 0.7)
            u = ((self.x - cx) * angle.cos() + (self.y - cy) * angle.sin()) / aspect.sqrt()
            v = ((self.y - cy) * angle.cos() - (self.x - cx) * angle.sin()) * aspect.sqrt()
            kind = self.uniform(n, 1, 1)
            round_shape = (u * u + v * v + 1e-9).sqrt()
            box = torch.maximum(u.abs(), v.abs())
            wedge = torch.maximum(torch.maximum(-v, v * 0.5 + u * 0.87), v * 0.5 - u * 0.87) * 1.6
            distance = torch.where(kind < 0.5, round_shape, torch.where(kind < 0.8, box, wedge)) - r
            wobble = (self.uniform(n, 1, 1) < 0.4).float() * self.uniform(n, 1, 1, high=0.5)
            distance = distance + wobble * r * 0.3 * textures[:, 0]
            edge = softness * (1 + blurred * 6 * self.uniform(n, 1, 1)) * 2 / SIDE
            alpha = (0.5 - distance / edge).clamp(0, 1)[:, None]
            which = torch.randint(0, textures.shape[1], (n,), generator=self.rng, device=self.device)
            strength = self.uniform(n, 1, 1, 1) ** 3 * 0.35
            colour = pick()[:, :, None, None]
            shade = (u * self.normal(n, 1, 1) + v * self.normal(n, 1, 1))[:, None] * 0.25
            fill = colour + strength * textures[rows, which][:, None] * (0.5 + colour) + shade
            picture = picture + alpha * (fill - picture)
        return picture

    def batch(self, n: int) -> Tensor:
        """(n, 3, SIDE, SIDE) in 0 … 1. Every batch mixes all kinds of scenes."""
        kinds = torch.rand(n, generator=self.rng, device=self.device)
        leaves = self.dead_leaves(n, 90)
        colours = self.palette(n, 3)[:, :, :, None, None]
        field = self.power_noise(n, 0.8, 2.0)[:, None] * self.uniform(n, 1, 1, 1, low=0.1, high=0.3)
        chroma = torch.stack([self.power_noise(n, 1.2, 2.2) for _ in range(3)], 1) * self.uniform(
            n, 1, 1, 1, high=0.12
        )
        clouds = colours[:, 0] + field + chroma
        fur = colours[:, 0] + self.strands(n)[:, None] * self.uniform(n, 1, 1, 1, low=0.05, high=0.25) * (
            0.6 + colours[:, 0]
        )
        fur = fur + 0.12 * self.power_noise(n, 1.6, 2.4)[:, None]
        k = kinds[:, None, None, None]
        picture = torch.where(k < 0.62, leaves, torch.where(k < 0.78, clouds, fur))
        # Writing on a share of them.
        ink = self.glyphs(n)[:, None] * (self.uniform(n, 1, 1, 1) < 0.12).float()
        window = ((self.x - self.uniform(n, 1, 1, low=-0.8, high=0.8)).abs() < 0.5) & (
            (self.y - self.uniform(n, 1, 1, low=-0.8, high=0.8)).abs() < 0.4
        )
        picture = picture + ink * window[:, None].float() * (colours[:, 1] - picture)
        # Vignetting, exposure, lens blur, sensor noise.
        light = 1 + 0.35 * self.normal(n, 1, 1, 1) * self.x + 0.35 * self.normal(n, 1, 1, 1) * self.y
        picture = (picture * light.clamp(0.2, 1.8)).clamp(0, 1)
        picture = picture ** torch.exp(self.normal(n, 1, 1, 1) * 0.25)
        picture = blur(
            picture,
            self.uniform(n, low=0.3, high=0.75) + (self.uniform(n) < 0.2).float() * self.uniform(n, high=1.5),
        )
        noise = (self.uniform(n, 1, 1, 1) < 0.5).float() * self.uniform(n, 1, 1, 1, high=0.025)
        return (picture + noise * self.normal(n, 3, SIDE, SIDE)).clamp(0, 1)


def blur(picture: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian of its own width per picture, separable; picture (n, 3, H, W), sigma (n,) in pixels."""
    n, _, h, w = picture.shape
    t = torch.arange(-4, 5, device=picture.device, dtype=picture.dtype)
    kernel = torch.exp(-(t[None] ** 2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)
    x = picture.reshape(1, n * 3, h, w)
    x = F.conv2d(F.pad(x, (4, 4, 0, 0), mode="replicate"), kernel[:, None, None, :], groups=n * 3)
    x = F.conv2d(F.pad(x, (0, 0, 4, 4), mode="replicate"), kernel[:, None, :, None], groups=n * 3)
    return x.reshape(n, 3, h, w)


def photo_crops(photos: list[Tensor], count: int, rng: torch.Generator, device: str) -> Tensor:
    """Random SIDE × SIDE crops of the training photographs at random scale and turn: (count, 3, SIDE, SIDE),
    0 … 1.
    """
    crops = []
    for i in range(count):
        photo = photos[i % len(photos)]
        r = torch.rand(8, generator=rng).tolist()
        shortest = min(photo.shape[1:])
        # Down to half a pixel per pixel, never up by more than a quarter.
        scale = max(SIDE / shortest, 0.45 + 0.8 * r[0])
        side = min(shortest, round(SIDE / scale))
        top = int(r[1] * (photo.shape[1] - side + 1))
        left = int(r[2] * (photo.shape[2] - side + 1))
        x = photo[None, :, top : top + side, left : left + side].to(device)
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False).clamp(
            0, 1
        )
        if r[3] < 0.5:
            x = x.flip(3)
        if r[4] < 0.5:
            x = x.transpose(2, 3)
        if r[5] < 0.5:
            x = x[:, torch.randperm(3, generator=rng).to(device)]
        x = (x ** (0.6 + 0.9 * r[6])) * (0.6 + 0.5 * r[7])
        # Grey photographs get a tint: they are there for their texture.
        if (x[:, 0] - x[:, 1]).abs().mean() < 0.004:
            tint = 0.55 + 0.6 * torch.rand(1, 3, 1, 1, generator=rng).to(device)
            shift = 0.25 * (torch.rand(1, 3, 1, 1, generator=rng).to(device) - 0.5)
            x = x * tint + shift
        crops.append(x.clamp(0, 1))
    return torch.cat(crops)


def make_library(count: int, photo_share: float, folder: Path, device: str, seed: int) -> Tensor:
    """(count, 3, SIDE, SIDE) uint8 on the device, shuffled."""
    scenes = Scenes(device, seed)
    rng = torch.Generator().manual_seed(seed + 1)
    photos = [load_photo(Path(folder) / name) for name in free_photos.TRAINING]
    num_photos = round(count * photo_share)
    parts = [(photo_crops(photos, num_photos, rng, device) * 255).round().to(torch.uint8)]
    made = num_photos
    while made < count:
        n = min(64, count - made)
        parts.append((scenes.batch(n) * 255).round().to(torch.uint8))
        made += n
    library = torch.cat(parts)
    return library[torch.randperm(count, generator=rng).to(device)]
