"""Lightning: a sky that darkens, flashes at moments of the seed's choosing, and a forked bolt at each.

Up to three strikes a clip. Arguments as in air.py and particles.py.
"""

import torch
from torch import Tensor

from particles import channels, fraction, smooth, wave

STRIKES = 3


def _jag(x: Tensor) -> Tensor:
    """A zigzag of period 1 from -1 to 1."""
    return 4 * (fraction(x) - 0.5).abs() - 1


def _strikes(p: Tensor, course: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """p (N, 1) → how bright each strike is (N, STRIKES) and which was the last to begin, one-hot."""
    k = torch.arange(3)[None, :].to(p.dtype)
    real = (k < count).to(p.dtype)
    start = 0.08 + 0.78 * (k + 0.12 + 0.72 * course[:, 8:11]) / count
    since = p - start
    again = since - 0.03 - 0.04 * course[:, 11:14]
    begun = (since >= 0).to(p.dtype) * real
    light = begun * torch.exp(-since.clamp(min=0) / 0.020)
    light = light + (again >= 0).to(p.dtype) * real * 0.85 * torch.exp(-again.clamp(min=0) / 0.045)
    later = begun.sum(1, keepdim=True) - 1
    return light.clamp(max=1) * smooth(1.0, 0.95, p), (k == later).to(p.dtype)


def gathering(p: Tensor) -> Tensor:
    """How far the sky has darkened: 0 at both ends of the clip."""
    return smooth(0.0, 0.10, p) * smooth(1.0, 0.90, p)


def _across(course: Tensor, details: Tensor) -> tuple[Tensor, Tensor]:
    """Where each strike's bolt begins, from -1 to 1 of the width, and its phase: (1, STRIKES) each."""
    return 1.5 * (course[:, 14:17] - 0.5), 7 * details[:, 0:3] + course[:, 17:20]


@torch.jit.script_if_tracing
def storm(
    p: Tensor, x: Tensor, y: Tensor, course: Tensor, details: Tensor, level: Tensor, count: Tensor
) -> tuple[Tensor, Tensor]:
    """The field: p (N, 1, 1, 1), x (1, 1, 1, w), y (1, 1, h, 1)."""
    if bool(level == 0):
        a = torch.ones_like(p)
        b = torch.zeros_like(p)
    else:
        light, last = _strikes(p[:, :, 0, 0], course, count)
        flash = light.amax(1)[:, None, None, None] * level
        begin, _ = _across(course, details)
        at = (last * begin).sum(1)[:, None, None, None] * x.amax(3, keepdim=True)
        c = course[:, :, None, None]
        heavy = gathering(p)
        roll = 0.12 * wave(0.21 * x + 0.1 * y - p + c[:, 20:21]) + 0.08 * wave(0.37 * x - 2 * p + c[:, 21:22])
        night = heavy * level.clamp(max=1) * (0.50 - 0.10 * y + roll).clamp(0.1, 0.8)
        dark = torch.cat([1 - night, 1 - 0.94 * night, 1 - 0.80 * night], 1)
        near = torch.exp(-((x - at) ** 2) / 0.9) * smooth(1.4, -1.1, y)
        glare = (flash * (0.18 + 0.36 * near)).clamp(max=0.8)
        blue = torch.tensor([0.84, 0.88, 1.0])[None, :, None, None]
        a = dark * (1 + flash * (0.9 + 0.5 * near)) * (1 - 0.7 * glare)
        b = glare * blue
    return a, b


@torch.jit.script_if_tracing
def bolt(
    frames: Tensor, p: Tensor, size: Tensor, course: Tensor, details: Tensor, level: Tensor, count: Tensor
) -> tuple[Tensor, Tensor]:
    """The drawing: a jagged line from the upper edge with two forks, for as long as the flash lasts.

    p (N, 1).
    """
    if bool(level == 0):
        places = torch.zeros([0], dtype=torch.int64)
        added = torch.zeros([0])
    else:
        height, width = frames.shape[2], frames.shape[3]
        short = size[2]
        w, h = size[1] / short, size[0] / short
        light, last = _strikes(p, course, count)
        flash = (light * last).sum(1)[:, None, None]  # (N, 1, 1)
        begin, phases = _across(course, details)
        at = ((last * begin).sum(1) * 0.5 + 0.5)[:, None, None] * w
        phase = (last * phases).sum(1)[:, None, None]
        rows = torch.arange(height)
        y = rows.to(p.dtype)[None, None, :] / short
        fork = torch.arange(3)[None, :, None].to(p.dtype)  # 0 is the trunk
        starts = h * (0.14 + 0.22 * fraction(phase * 1.7 + 0.37 * fork)) * fork.clamp(max=1)
        ends = h * (0.52 + 0.30 * fraction(phase * 2.3)) * (1 - fork.clamp(max=1))
        ends = ends + (starts + h * (0.16 + 0.14 * fraction(phase * 3.1 + 0.41 * fork))) * fork.clamp(max=1)
        tilt = (fraction(phase * 1.3) - 0.5) * 0.5

        # At this row and at one just below, for the slope.
        two = torch.stack([y, y + 1 / short])
        trunk = at + tilt * two + 0.055 * _jag(1.6 * two + phase) + 0.032 * _jag(3.7 * two + 2 * phase)
        trunk = trunk + 0.016 * _jag(8.3 * two + 3 * phase) + 0.008 * _jag(19.0 * two + 5 * phase)
        aside = (2 * torch.floor(2 * fraction(phase * 4.3 + 0.5 * fork)) - 1) * (two - starts)
        branch = aside * (0.55 + 0.3 * fraction(phase + 0.3 * fork)) + 0.018 * _jag(
            6.1 * (two - starts) + 0.75
        )
        branch = branch + 0.009 * _jag(15.0 * (two - starts) + 0.75)
        x = (trunk + branch * fork.clamp(max=1)) * short  # (2, N, 3, rows)
        centre, slope = x[0], x[1] - x[0]
        reach = int(torch.ceil(0.03 * short).to(torch.int64)) + 1
        steps = torch.arange(-reach, reach + 1)
        left = torch.floor(centre)
        i = left.to(torch.int64)[:, :, :, None] + steps
        off = (steps.to(p.dtype) - (centre - left)[:, :, :, None]).abs()
        off = off * torch.rsqrt(1 + slope * slope)[:, :, :, None] / short
        alive = smooth(0.0, 0.004, y - starts + 0.004) * smooth(0.0, 0.05, ends - y)
        thick = (0.0036 - 0.0018 * fork.clamp(max=1)) * (0.45 + 0.55 * smooth(0.0, 0.3, ends - y))
        core = smooth(0.0, 1.0, ((thick[:, :, :, None] - off) * short + 0.9) / 1.4)
        halo = torch.exp(-off / 0.009) * smooth(0.03, 0.012, off) * 0.7
        inside = torch.logical_and(i >= 0, i < width).to(p.dtype)
        shine = (
            (core + (1 - core) * halo).clamp(max=1)
            * inside
            * (alive * (flash * 2.6).clamp(max=1))[:, :, :, None]
        )
        shine = shine * (0.7 + 0.3 * level.clamp(max=1))
        first = torch.arange(frames.shape[0])[:, None, None, None] * (3 * height * width)
        place = first + rows[None, None, :, None] * width + i.clamp(0, width - 1)
        spots, behind = channels(frames, place)
        colour = torch.tensor([0.90, 0.93, 1.0]).reshape(3, 1, 1, 1, 1)
        places = spots.reshape(-1)
        added = (shine[None] * (colour - behind).clamp(min=0)).reshape(-1)
    return places, added
