"""Snow, rain, leaves and petals: one depth layer each; weather.py stacks three of them.

Shared arguments: frames (N, 3, H, W) in 0 … 1; p (N, 1); size (3,): height, width and short side in pixels;
t (P, TRAITS): rows of the crowd, which is particles.traits; wind (): sideways speed over downward speed;
spec: the layer's numbers.
"""

import math

import torch
from torch import Tensor

from particles import (
    brightness,
    channels,
    cover,
    fade,
    fraction,
    many,
    nothing,
    present,
    shared,
    smooth,
    some,
    wave,
    window,
    with_layer,
    wrap,
)


def snow_layer(
    frames: Tensor, p: Tensor, size: Tensor, t: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    """Soft discs that sink and swing. White, and grey where the picture behind is white itself, as flakes
    against the sky are.

    spec: count, smallest and largest radius, way down in a clip, swing, blur (share of the radius), opacity.
    """
    short = size[2]
    w, h = size[1] / short, size[0] / short
    large = t[:, 0] * t[:, 0]
    radius = spec[1] + (spec[2] - spec[1]) * large
    speed = spec[3] * (0.75 + 0.5 * large)
    life = fraction(p + t[:, 1])
    margin = spec[2] + 0.02
    swing = spec[4] * (0.4 + t[:, 3]) * wave((0.7 + t[:, 4]) * life + t[:, 5])
    y = wrap(t[:, 2] + speed * life / (h + 2 * margin), h, margin)
    x = wrap(t[:, 6] + (wind * speed * life + swing) / (w + 2 * margin), w, margin)
    dx, dy, place, inside = window(frames, x * short, y * short, spec[2] * short * (1 + 0.5 * spec[5]))
    r = (radius * short)[None, :, None, None]
    distance = (dx * dx + dy * dy).sqrt()
    disc = smooth(0.0, 1.0, (r * (1 + 0.5 * spec[5]) + 0.5 - distance) / (r * spec[5] + 1))
    opacity = spec[6] * (0.7 + 0.3 * t[:, 7]) * fade(life, 0.12)
    places, behind = channels(frames, place)
    white = 1 - 0.24 * smooth(0.66, 0.98, brightness(behind))
    tint = torch.tensor([0.985, 0.995, 1.0]).reshape(3, 1, 1, 1, 1)
    return cover(places, behind, inside * disc * opacity[:, :, None, None], white * tint)


def rain_layer(
    frames: Tensor, p: Tensor, size: Tensor, t: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    """Streaks along the way they fall, brighter than a dark picture and darker than a bright one.

    spec: count, length, width, falls in a clip (whole), opacity.
    """
    short = size[2]
    w, h = size[1] / short, size[0] / short
    falls = spec[3] + torch.floor(2 * t[:, 1])
    phase = p * falls + t[:, 2]
    turn = torch.floor(phase)
    life = phase - turn
    turn = turn - falls * torch.floor(turn / falls)
    length = spec[1] * (0.7 + 0.6 * t[:, 3])
    margin = torch.full_like(spec[0], 0.2)
    head = life * (h + 1.3 * spec[1] + 0.1)  # the lower end
    # Another column at each fall, the same ones again in the next clip.
    x = wrap(t[:, 4] + 0.618034 * turn + wind * head / (w + 2 * margin), w, margin)
    rows = torch.arange(int(torch.ceil(1.3 * spec[1] * short).to(torch.int64)) + 2)
    half = (0.5 * spec[2] * short + 0.5) * (1 + wind * wind).sqrt()
    reach = int(torch.floor(half).to(torch.int64))
    steps = torch.arange(-reach, reach + 2)
    bottom = torch.floor(head * short)
    j = bottom.to(torch.int64)[:, :, None] - rows  # (N, P, rows)
    up = rows.to(p.dtype) + (head * short - bottom)[:, :, None]
    centre = (x * short)[:, :, None] - wind * up
    left = torch.floor(centre)
    i = left.to(torch.int64)[:, :, :, None] + steps  # (N, P, rows, steps)
    across = (steps.to(p.dtype) - (centre - left)[:, :, :, None]).abs() * torch.rsqrt(1 + wind * wind)
    height, width = frames.shape[2], frames.shape[3]
    inside = torch.logical_and(i >= 0, i < width).to(p.dtype)
    inside = inside * torch.logical_and(j >= 0, j < height).to(p.dtype)[:, :, :, None]
    first = torch.arange(frames.shape[0])[:, None, None, None] * (3 * height * width)
    place = first + j.clamp(0, height - 1)[:, :, :, None] * width + i.clamp(0, width - 1)
    along = up / (length * short)[None, :, None]
    taper = smooth(0.0, 0.12, along) * smooth(1.0, 0.25, along)
    line = (0.5 * spec[2] * short + 0.5 - across).clamp(0, 1)
    opacity = spec[4] * (0.6 + 0.4 * t[:, 5])
    alpha = inside * line * (taper * opacity[None, :, None])[:, :, :, None]
    places, behind = channels(frames, place)
    light = brightness(behind)
    grey = 0.9 - 0.5 * smooth(0.5, 0.85, light)
    tint = torch.tensor([0.96, 0.99, 1.03]).reshape(3, 1, 1, 1, 1)
    return cover(places, behind, alpha, grey * tint)


def tumbling_layer(
    frames: Tensor,
    p: Tensor,
    size: Tensor,
    line: Tensor,
    wind: Tensor,
    spec: Tensor,
    palette: Tensor,
    petal: bool,
) -> tuple[Tensor, Tensor]:
    """Leaves or petals that fall in swings, turn and show both sides.

    Each is one of spec[4] that follow one another on one line, so that where it ends the next one begins.
    line (L, TRAITS): rows of the crowd.
    spec: lines, smallest and largest half length, lives in a clip (whole) and leaves in a line (whole),
    swing, blur, opacity. palette (C, 3).
    """
    short = size[2]
    w, h = size[1] / short, size[0] / short
    number = torch.arange(int((spec[0] * spec[4]).to(torch.int64)))
    first = torch.floor((number.to(p.dtype) + 0.5) / spec[4])
    t = line[first.to(torch.int64)]
    phase = (number.to(p.dtype) - spec[4] * first + p * spec[3]) / spec[4] + t[:, 1]
    life = fraction(phase)
    # One that falls twice in a clip takes another way each time.
    again = torch.floor(phase) - spec[3] * torch.floor(torch.floor(phase) / spec[3])
    long = (spec[1] + (spec[2] - spec[1]) * t[:, 0]) * short
    margin = spec[2] * 1.2 + 0.02
    way = h + 2 * margin
    glide = wave((1.5 + 1.5 * t[:, 2]) * life + t[:, 3] + 0.37 * again)
    # The wind leaves less room for swings.
    swing = spec[5] * (0.5 + t[:, 4]) * glide / (1 + 2.5 * wind.abs())
    y = way * (life + 0.035 * wave((3 + 3 * t[:, 2]) * life + 2 * t[:, 3])) - margin
    x = wrap(t[:, 5] + 0.618034 * again + (wind * way * life + swing) / (w + 2 * margin), w, margin)
    angle = 2 * math.pi * (t[:, 6] + 0.29 * again + (t[:, 7] - 0.5) * 2.2 * life) + 0.5 * glide
    turn = torch.cos(2 * math.pi * (t[:, 8] + 0.41 * again + (0.8 + 1.8 * t[:, 9]) * life))
    thin = turn.abs().clamp(min=0.16)
    dx, dy, place, inside = window(frames, x * short, y * short, spec[2] * short * (1 + spec[6]) + 1)
    cos, sin = torch.cos(angle)[:, :, None, None], torch.sin(angle)[:, :, None, None]
    half = long[None, :, None, None]
    thin = thin[:, :, None, None]
    u = (cos * dx + sin * dy) / half
    v = (cos * dy - sin * dx) / (half * thin)
    side = v.abs()
    full = (1 - u * u).clamp(min=0)
    if petal:
        edge = 0.62 * full.sqrt() * (0.72 + 0.28 * u) - 0.5 * (u - 0.86 + side).clamp(min=0)
        shade = 0.86 + 0.14 * smooth(-0.9, 0.7, u) - 0.10 * torch.exp(-side * side / 0.02)
    else:
        edge = 0.46 * full * (1.1 - 0.45 * u) * (1 + 0.10 * torch.cos(19 * u))
        veins = torch.cos(26 * (u + 0.8 * side))
        shade = 1 - 0.28 * torch.exp(-side * side / 0.0016) + 0.05 * veins + 0.10 * v
    outside = (u.abs() - 1).clamp(min=0)
    blur = spec[6] * half + 1
    alpha = smooth(0.0, 1.0, ((edge - side) * half * thin - outside * half) / blur + 0.5)
    alpha = alpha * inside * spec[7] * smooth(0.0, 0.04, life * (1 - life) + 0.03)[:, :, None, None]
    shade = shade * (0.84 + 0.2 * turn * torch.sin(angle + 0.7))[:, :, None, None]
    colour = palette[(t[:, 10] * palette.shape[0]).to(torch.int64).clamp(0, palette.shape[0] - 1)]
    colour = colour.t()[:, None, :, None, None] * (0.85 + 0.3 * t[:, 11])[None, None, :, None, None]
    places, behind = channels(frames, place)
    return cover(places, behind, shared(frames, place, alpha), (colour * shade).clamp(0, 1))


@torch.jit.script_if_tracing
def snow(
    frames: Tensor, p: Tensor, size: Tensor, crowd: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    drawing = nothing(frames)
    for k in range(present(spec)):
        t = some(crowd, many(k), spec[k, 0])
        drawing = with_layer(drawing, snow_layer(frames, p, size, t, wind, spec[k]))
    return drawing


@torch.jit.script_if_tracing
def rain(
    frames: Tensor, p: Tensor, size: Tensor, crowd: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    drawing = nothing(frames)
    for k in range(present(spec)):
        t = some(crowd, 1000 + many(k), spec[k, 0])
        drawing = with_layer(drawing, rain_layer(frames, p, size, t, wind, spec[k]))
    return drawing


@torch.jit.script_if_tracing
def leaves(
    frames: Tensor,
    p: Tensor,
    size: Tensor,
    crowd: Tensor,
    wind: Tensor,
    spec: Tensor,
    palette: Tensor,
) -> tuple[Tensor, Tensor]:
    drawing = nothing(frames)
    for k in range(present(spec)):
        line = some(crowd, 2000 + 100 * k, spec[k, 0])
        drawing = with_layer(drawing, tumbling_layer(frames, p, size, line, wind, spec[k], palette, False))
    return drawing


@torch.jit.script_if_tracing
def petals(
    frames: Tensor,
    p: Tensor,
    size: Tensor,
    crowd: Tensor,
    wind: Tensor,
    spec: Tensor,
    palette: Tensor,
) -> tuple[Tensor, Tensor]:
    drawing = nothing(frames)
    for k in range(present(spec)):
        line = some(crowd, 2300 + 100 * k, spec[k, 0])
        drawing = with_layer(drawing, tumbling_layer(frames, p, size, line, wind, spec[k], palette, True))
    return drawing
