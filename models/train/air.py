"""Fog, steam, rays, flicker, lightning's light, dusk and rain's grey: soft fields over the whole picture.

A field is a pair (a, b) with frame → a · frame + b, each (N or 1, 3 or 1, h, w) on a coarse grid. They follow
one another by `after` and are applied at once by `apply`. Shared arguments: like (N, 3, H, W) the frames;
p (N, 1, 1, 1); x (1, 1, 1, w) and y (1, 1, h, 1) the grid in half short sides; noise from make_noise; course
and details (1, 32).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from particles import fraction, smooth, wave

COARSE = 4
_SIDE = 256


def make_noise() -> Tensor:
    """A tile of clouds that repeats without a seam, mean 0 and deviation 1: (1, 1, SIDE + 1, SIDE + 1)."""
    generator = torch.Generator().manual_seed(11)
    f = torch.fft.fftfreq(_SIDE) * _SIDE
    radius = (f[:, None] ** 2 + f[None, :] ** 2).sqrt()
    weight = torch.where((radius >= 2) & (radius < 64), radius.clamp(min=1) ** -1.75, torch.zeros(()))
    spectrum = torch.fft.fft2(torch.randn(_SIDE, _SIDE, generator=generator)) * weight
    tile = torch.fft.ifft2(spectrum).real
    tile = tile / tile.std()
    return F.pad(tile.float().half().float()[None, None], (0, 1, 0, 1), mode="circular")


def look_up(noise: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The noise at x and y in whole tiles, (N, 1, h, w) together → (N, 1, h, w)."""
    x, y = torch.broadcast_tensors(x, y)
    grid = torch.stack([fraction(x), fraction(y)], -1) * 2 - 1
    rows = grid.reshape(1, -1, grid.shape[3], 2)
    out = F.grid_sample(noise, rows, mode="bilinear", padding_mode="border", align_corners=True)
    return out.reshape(x.shape)


def drifting(noise: Tensor, x: Tensor, y: Tensor, p: Tensor, dx: Tensor, dy: Tensor, phase: Tensor) -> Tensor:
    """Noise that moves by dx, dy (tiles in a clip) for ever: two copies half a clip apart, each unseen when
    it starts anew.
    """
    first = fraction(p + phase)
    second = fraction(p + phase + 0.5)
    weight = 0.5 - 0.5 * torch.cos(2 * math.pi * first)
    a = look_up(noise, x - dx * (first - 0.5), y - dy * (first - 0.5))
    b = look_up(noise, x - dx * (second - 0.5) + 0.37, y - dy * (second - 0.5) + 0.61)
    mixed = weight * a + (1 - weight) * b
    return mixed * torch.rsqrt(weight * weight + (1 - weight) * (1 - weight))


def after(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return second[0] * first[0], second[0] * first[1] + second[1]


@torch.jit.script_if_tracing
def fog(
    p: Tensor,
    x: Tensor,
    y: Tensor,
    noise: Tensor,
    course: Tensor,
    details: Tensor,
    level: Tensor,
    wind: Tensor,
    tone: Tensor,
) -> tuple[Tensor, Tensor]:
    """Three banks of fog, the far one high and fine, the near one low and wide, that pass at their own pace.

    level () density, wind () half short sides in a clip, tone (1, 3, 1, 1) the picture's mean colour.
    """
    if bool(level == 0):
        a = torch.ones_like(p)
        b = torch.zeros_like(p)
    else:
        c = course[:, :, None, None]
        d = details[:, :, None, None]
        bend = 0.05 * look_up(
            noise, 0.11 * x + d[:, 0:1], 0.16 * y + 0.04 * wave(p + c[:, 12:13]) + d[:, 1:2]
        )
        far = drifting(
            noise,
            0.30 * x + bend + c[:, 8:9],
            0.62 * y + bend + d[:, 2:3],
            p,
            0.16 * wind,
            0.02 + 0.0 * wind,
            c[:, 13:14],
        )
        mid = drifting(
            noise,
            0.20 * x + bend + c[:, 9:10],
            0.42 * y + bend + d[:, 3:4],
            p,
            0.17 * wind,
            0.0 * wind,
            c[:, 14:15],
        )
        near = drifting(
            noise,
            0.12 * x - bend + c[:, 10:11],
            0.26 * y + d[:, 4:5],
            p,
            0.17 * wind,
            0.01 + 0.0 * wind,
            c[:, 15:16],
        )
        height = y + 0.3 * (c[:, 11:12] - 0.5)
        depth = (
            0.55
            * smooth(-0.9, 1.9, far)
            * smooth(-1.3, -0.1, height)
            * (1.1 - 0.5 * smooth(0.2, 1.0, height))
        )
        depth = depth + 0.75 * smooth(-0.8, 2.0, mid) * smooth(-0.9, 0.5, height)
        depth = depth + 1.0 * smooth(-0.7, 2.2, near) * smooth(-0.5, 1.0, height)
        clear = torch.exp(-level * (depth + 0.10))
        light = 0.299 * tone[:, 0:1] + 0.587 * tone[:, 1:2] + 0.114 * tone[:, 2:3]
        white = (0.34 + 0.72 * light).clamp(max=0.86)
        colour = white * (1 + 0.22 * (tone - light)) + torch.tensor([-0.012, 0.0, 0.016])[None, :, None, None]
        a = clear
        b = (1 - clear) * colour
    return a, b


@torch.jit.script_if_tracing
def steam(
    p: Tensor,
    x: Tensor,
    y: Tensor,
    noise: Tensor,
    course: Tensor,
    details: Tensor,
    level: Tensor,
    wind: Tensor,
    source: Tensor,
) -> tuple[Tensor, Tensor]:
    """Wisps that rise from `source` (1, 2, 1, 1), widen, bend with the wind and dissolve."""
    if bool(level == 0):
        a = torch.ones_like(p)
        b = torch.zeros_like(p)
    else:
        c = course[:, :, None, None]
        d = details[:, :, None, None]
        up = source[:, 1:2] - y
        rise = up.clamp(min=0)
        lean = (0.5 * wind + 0.22 * (c[:, 16:17] - 0.5)) * rise * (0.5 + 0.6 * rise)
        sway = 0.10 * rise * wave(p - 0.45 * rise + c[:, 17:18]) + 0.03 * wave(2 * p - 1.1 * rise + d[:, 5:6])
        off = x - source[:, 0:1] - lean - sway
        across = off / (0.24 + 0.36 * rise)
        none = 0.0 * wind
        swirl = drifting(
            noise, 0.16 * off + d[:, 6:7], 0.16 * rise + d[:, 7:8], p, none, 0.16 + none, c[:, 18:19]
        )
        bend = 0.045 * swirl * smooth(0.0, 0.6, rise)
        body = drifting(
            noise,
            0.26 * off + bend + c[:, 19:20],
            0.17 * rise - bend + d[:, 8:9],
            p,
            none,
            0.17 + none,
            d[:, 9:10],
        )
        fine = drifting(
            noise,
            0.52 * off - bend + d[:, 10:11],
            0.36 * rise + bend + d[:, 11:12],
            p,
            none,
            0.36 + none,
            d[:, 12:13],
        )
        wisps = 0.10 + smooth(-1.1, 2.0, body + 0.35 * fine)
        wisps = wisps + 0.30 * torch.exp(-(body * body) / 0.10) * smooth(-1.4, 1.2, fine)
        plume = torch.exp(-across * across * 1.1) * smooth(-0.12, 0.20, up) * smooth(1.7, 0.3, rise)
        thick = 1 - torch.exp(-level * plume * wisps)
        grey = (0.86 + 0.06 * body + 0.04 * fine).clamp(0.7, 0.98)
        a = 1 - thick
        b = thick * grey * torch.tensor([0.985, 1.0, 1.015])[None, :, None, None]
    return a, b


@torch.jit.script_if_tracing
def rays(
    p: Tensor,
    x: Tensor,
    y: Tensor,
    noise: Tensor,
    course: Tensor,
    details: Tensor,
    level: Tensor,
    wind: Tensor,
    lit: Tensor,
) -> tuple[Tensor, Tensor]:
    """Shafts of light from above the picture, over its bright side rather than its dark one; between them it
    is a little darker. lit (1, 1, 1, 1): where the upper half is bright, half short sides.
    """
    if bool(level == 0):
        a = torch.ones_like(p)
        b = torch.zeros_like(p)
    else:
        c = course[:, :, None, None]
        d = details[:, :, None, None]
        wide = x.amax(3, keepdim=True)
        high = y.amax(2, keepdim=True)
        sun = 0.55 * lit + 1.5 * wide * (c[:, 20:21] - 0.5)
        below = y + high + 0.35
        slope = (x - sun) / below
        shimmer = 0.03 * wave(p + d[:, 13:14])
        broad = look_up(
            noise,
            0.16 * slope + c[:, 21:22] + shimmer * 0.4,
            0.07 * wave(p + c[:, 22:23]) + d[:, 14:15] + 0.0 * slope,
        )
        narrow = look_up(
            noise,
            0.55 * slope + d[:, 15:16] - shimmer,
            0.07 * wave(p + d[:, 16:17]) + c[:, 23:24] + 0.0 * slope,
        )
        haze = drifting(
            noise,
            0.25 * x + d[:, 17:18],
            0.25 * y + d[:, 18:19],
            p,
            0.06 + 0.05 * wind,
            -0.03 + 0.0 * wind,
            c[:, 24:25],
        )
        shaft = smooth(-0.35, 1.35, broad + 0.35 * narrow) * (0.75 + 0.25 * smooth(-0.5, 1.5, narrow))
        far = torch.exp(-0.42 * below) * smooth(2.6, 0.3, slope.abs())
        strength = level * shaft * far * (0.85 + 0.2 * haze)
        strength = strength.clamp(0, 1)
        warm = c[:, 25:26]
        colour = torch.cat([1.0 + 0.0 * warm, 0.97 - 0.09 * warm, 0.90 - 0.30 * warm], 1)
        dim = 1 - 0.30 * level * (1 - shaft) * far.sqrt()
        a = (1 - strength * colour) * dim
        b = strength * colour
    return a, b


@torch.jit.script_if_tracing
def flicker(
    frames: Tensor,
    p: Tensor,
    x: Tensor,
    y: Tensor,
    course: Tensor,
    details: Tensor,
    level: Tensor,
    speed: Tensor,
) -> tuple[Tensor, Tensor]:
    """Firelight: what is lit grows brighter and darker in warm colours, from the picture itself at p = 0."""
    if bool(level == 0):
        a = torch.ones_like(p)
        b = torch.zeros_like(p)
    else:
        c = course[:, :, None, None]
        d = details[:, :, None, None]
        cells = F.avg_pool2d(frames, 16)
        light = 0.299 * cells[:, 0:1] + 0.587 * cells[:, 1:2] + 0.114 * cells[:, 2:3]
        light = F.interpolate(light, size=[y.shape[2], x.shape[3]], mode="bilinear", align_corners=False)
        k = torch.arange(6)[None, :, None, None].to(p.dtype)
        turns = speed + torch.floor(speed * (0.4 + 1.1 * k) * (0.6 + 0.8 * d[:, :6]))
        phase = c[:, 8:14] + 3 * d[:, 6:12]
        size = 0.62 * torch.exp(-0.3 * k)
        begun = smooth(0.0, 0.05, p) * smooth(1.0, 0.95, p)
        value = begun * (size * wave(turns * p + phase)).sum(1, keepdim=True)
        side = begun * (size * wave(turns * p + phase + 0.31)).sum(1, keepdim=True)
        lean = (x * torch.cos(2 * math.pi * c[:, 14:15]) + y * torch.sin(2 * math.pi * c[:, 14:15])) * 0.4
        reach = 0.30 + 0.70 * smooth(0.08, 0.7, light)
        amount = level * reach * (value + lean * side)
        # Brighter is warmer, and so is what is left of the light between.
        rising = torch.tensor([1.0, 0.76, 0.40])[None, :, None, None]
        falling = torch.tensor([0.86, 1.0, 1.16])[None, :, None, None]
        a = torch.exp(amount.clamp(min=0) * rising + amount.clamp(max=0) * falling)
        b = torch.zeros_like(p)
    return a, b


@torch.jit.script_if_tracing
def dusk(
    p: Tensor,
    x: Tensor,
    y: Tensor,
    noise: Tensor,
    course: Tensor,
    details: Tensor,
    level: Tensor,
) -> tuple[Tensor, Tensor]:
    """From the picture as it is to dusk: darker and bluer above and towards one side, a glow of one hue at a
    horizon, and shadows of clouds that pass. Does not come back: the last frame is the darkest.
    """
    if bool(level == 0):
        a = torch.ones_like(p)
        b = torch.zeros_like(p)
    else:
        c = course[:, :, None, None]
        d = details[:, :, None, None]
        # Early or late: the power is between 0.37 and 2.7.
        power = torch.exp(2.0 * (c[:, 8:9] - 0.5) + 0.5 * (d[:, 0:1] - 0.5))
        way = torch.exp(power * torch.log(p.clamp(min=1e-9)))
        hue, late = c[:, 9:10], c[:, 10:11]
        deep = level * (0.7 + 0.6 * c[:, 11:12])
        # From orange through rose to violet, under a sky from a warm afterglow to deep blue.
        glow = torch.cat([1.0 - 0.24 * hue * hue, 0.62 - 0.20 * hue, 0.22 + 0.40 * hue], 1)
        sky = torch.cat([0.60 - 0.42 * late, 0.40 - 0.12 * late, 0.44 + 0.22 * late], 1)
        ground = torch.cat([0.54 - 0.32 * late, 0.38 - 0.09 * late, 0.36 + 0.20 * late], 1)
        line = 0.9 * (c[:, 12:13] - 0.5) - 0.1 + 0.2 * (d[:, 1:2] - 0.5)
        sun = (2.4 * (c[:, 13:14] - 0.5) + 0.5 * (d[:, 2:3] - 0.5)) * x.amax(3, keepdim=True)
        end = ground + (sky - ground) * smooth(0.5, -0.7, y - line)
        away = (x - sun) ** 2
        near = torch.exp(-((y - line) ** 2) / 0.24) * (0.25 + 0.75 * torch.exp(-away / 1.1))
        end = end + (glow - end) * 0.8 * near
        # The side away from the sun is darker, and so are the corners.
        edge = 1 - (0.03 + 0.08 * c[:, 14:15]) * (away + y * y).clamp(max=4)
        shade = look_up(
            noise,
            0.14 * x + 0.10 * p + d[:, 3:4] + c[:, 15:16],
            0.24 * y + 0.03 * p + d[:, 4:5] + c[:, 16:17],
        )
        cloud = torch.exp(0.16 * shade.clamp(-2, 2))
        a = torch.exp(way * deep * torch.log((end * edge * cloud).clamp(0.05, 1)))
        b = way * deep * 0.12 * near * glow
    return a, b


@torch.jit.script_if_tracing
def apply(frames: Tensor, grey: Tensor, a: Tensor, b: Tensor, present: Tensor) -> Tensor:
    """a · (frames, their colours drawn towards grey) + b, with a and b at the frames' size.

    grey (N, 1, 1, 1) is the share of grey, present () 0 where nothing is to be done.
    """
    if bool(present == 0):
        out = frames
    else:
        size = [frames.shape[2], frames.shape[3]]
        light = 0.299 * frames[:, 0:1] + 0.587 * frames[:, 1:2] + 0.114 * frames[:, 2:3]
        mixed = frames + grey * (light - frames)
        a = F.interpolate(a, size=size, mode="bilinear", align_corners=False)
        b = F.interpolate(b, size=size, mode="bilinear", align_corners=False)
        out = (a * mixed + b).clamp(0, 1)
    return out
