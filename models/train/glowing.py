"""Embers, fireflies, dust, bokeh and bubbles: one depth layer each; weather.py stacks three of them.

Arguments as in falling.py. Light is added the more, the darker the picture behind it is, so that nothing
burns out; a core that covers keeps it visible on white.
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
    smooth,
    some,
    wave,
    window,
    with_layer,
    wrap,
)


def _spark(
    frames: Tensor,
    x: Tensor,
    y: Tensor,
    radius: Tensor,
    light: Tensor,
    core: Tensor,
    halo: Tensor,
    spread: Tensor,
    vx: Tensor,
    vy: Tensor,
) -> tuple[Tensor, Tensor]:
    """A small hot disc in a soft halo, drawn out along its way: x, y, light (N, P), radius (P,) in pixels,
    core (3, N or 1, P), halo (3,), spread (): the halo's reach in radii, vx, vy (N, P): half the streak in
    pixels.
    """
    dx, dy, place, inside = window(frames, x, y, radius.amax() * spread)
    length = (vx * vx + vy * vy).sqrt() + 1e-3
    ux, uy = (vx / length)[:, :, None, None], (vy / length)[:, :, None, None]
    along = ux * dx + uy * dy
    across = (dx * dx + dy * dy - along * along).clamp(min=0)
    stretch = radius / (radius + length)
    core_square = across + (along * stretch[:, :, None, None]) ** 2
    # The halo is no longer than the largest window.
    stretch = torch.maximum(stretch, (radius / radius.amax())[None, :])
    square = across + (along * stretch[:, :, None, None]) ** 2
    r = radius[None, :, None, None]
    disc = smooth(0.0, 1.0, (r + 0.7 - core_square.sqrt()) / (0.5 * r + 0.9))
    reach = r * spread
    near = (1 - square / (reach * reach)).clamp(min=0)
    soft = near * near * near * torch.exp(-square / (0.18 * reach * reach))
    light = (light[:, :, None, None] * inside).clamp(0, 1)
    places, behind = channels(frames, place)
    alpha = 0.92 * disc * light.sqrt()
    glow = soft * light * (1 - alpha) * (1 - 0.6 * smooth(0.45, 0.9, brightness(behind)[0]))
    added = alpha[None] * (core[:, :, :, None, None] - behind)
    added = added + glow[None] * (1.06 - behind).clamp(min=0) * halo[:, None, None, None, None]
    return places.reshape(-1), added.reshape(-1)


def ember_layer(
    frames: Tensor, p: Tensor, size: Tensor, t: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    """Sparks that rise from the lower edge, curl, cool from yellow to red and go out.

    spec: count, smallest and largest radius, way up in a life, halo, lives in a clip (whole), light.
    """
    short = size[2]
    w, h = size[1] / short, size[0] / short
    phase = p * spec[5] + t[:, 1]
    life = fraction(phase)
    again = torch.floor(phase) - spec[5] * torch.floor(torch.floor(phase) / spec[5])
    margin = torch.full_like(spec[0], 0.05)
    rise = spec[3] * (0.5 + t[:, 2])
    # Now and a moment later, for the streak.
    two = torch.stack([life, life + 0.01])
    up = rise * two * (1.25 - 0.25 * two)
    curl = (0.02 + 0.07 * two) * wave((0.8 + t[:, 4]) * two + t[:, 5]) + 0.012 * wave(3.3 * two + t[:, 6])
    aside = wind * rise * two + curl
    y = h * (1.03 - 0.6 * t[:, 3] * t[:, 3]) - up[0]
    x = wrap(t[:, 7] + 0.618034 * again + aside[0] / (w + 2 * margin), w, margin)
    # Half of what it moves in a 72nd of the clip.
    shutter = 0.65 * short * spec[5]
    vx, vy = shutter * (aside[1] - aside[0]), shutter * (up[0] - up[1])
    radius = (spec[1] + (spec[2] - spec[1]) * t[:, 0] * t[:, 0]) * short
    cooled = (1 - life).clamp(min=0).sqrt()
    light = spec[6] * smooth(0.0, 0.05, life) * cooled * (0.8 + 0.2 * wave(9 * life + t[:, 8]))
    hot = smooth(0.75, 0.1, life + 0.25 * (t[:, 9] - 0.5))
    core = torch.stack([0.85 + 0.15 * hot, 0.26 + 0.62 * hot, 0.04 + 0.46 * hot * hot])
    halo = torch.tensor([1.0, 0.42, 0.08])
    return _spark(frames, x * short, y * short, radius, light, core, halo, spec[4], vx, vy)


def firefly_layer(
    frames: Tensor, p: Tensor, size: Tensor, t: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    """Lights that wander in loops and glow up and down.

    spec: count, smallest and largest radius, size of the loops, halo, most blinks in a clip, light.
    """
    short = size[2]
    w, h = size[1] / short, size[0] / short
    turns = 1 + torch.floor(2 * t[:, 4])
    loop = spec[3] * (0.5 + t[:, 5])
    x = (
        w * t[:, 1]
        + loop * (wave(p + t[:, 6]) + 0.35 * wave(2 * p + t[:, 7]))
        + 0.1 * wind * wave(p + t[:, 8])
    )
    y = h * (0.08 + 0.9 * t[:, 2]) + 0.7 * loop * (wave(turns * p + t[:, 8]) + 0.3 * wave(3 * p + t[:, 9]))
    radius = (spec[1] + (spec[2] - spec[1]) * t[:, 0]) * short
    blinks = 1 + torch.floor(spec[5] * t[:, 3])
    pulse = 0.5 + 0.5 * wave(blinks * p + t[:, 10])
    light = spec[6] * (0.06 + 0.94 * pulse * pulse * (3 - 2 * pulse))
    warm = t[:, 11]
    core = torch.stack([0.90 + 0.1 * warm, 1.0 - 0.06 * warm, 0.55 - 0.1 * warm])[:, None, :]
    halo = torch.tensor([0.74, 0.95, 0.18])
    still = torch.zeros_like(x)
    return _spark(frames, x * short, y * short, radius, light, core, halo, spec[4], still, still)


def dust_layer(
    frames: Tensor, p: Tensor, size: Tensor, t: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    """Motes that drift and catch the light now and then; dark specks in front of white.

    spec: count, smallest and largest radius, way in a clip, blur, opacity.
    """
    short = size[2]
    w, h = size[1] / short, size[0] / short
    life = fraction(p + t[:, 1])
    margin = spec[2] + 0.02
    heading = 2 * math.pi * t[:, 3]
    way = spec[3] * (0.5 + t[:, 2])
    aside = way * (0.6 * torch.cos(heading) + 2.2 * wind) * life + 0.015 * wave(1.4 * life + t[:, 4])
    down = way * (0.6 * torch.sin(heading) - 0.35) * life + 0.015 * wave(1.7 * life + t[:, 5])
    x = wrap(t[:, 6] + aside / (w + 2 * margin), w, margin)
    y = wrap(t[:, 7] + down / (h + 2 * margin), h, margin)
    r = ((spec[1] + (spec[2] - spec[1]) * t[:, 0] * t[:, 0]) * short)[None, :, None, None]
    dx, dy, place, inside = window(frames, x * short, y * short, spec[2] * short * (1 + 0.5 * spec[4]))
    distance = (dx * dx + dy * dy).sqrt()
    disc = smooth(0.0, 1.0, (r * (1 + 0.5 * spec[4]) + 0.5 - distance) / (r * spec[4] + 1))
    turning = 0.5 + 0.5 * wave((1 + torch.floor(3 * t[:, 8])) * p + t[:, 9])
    opacity = spec[5] * (0.35 + 0.65 * turning * turning) * fade(life, 0.15)
    places, behind = channels(frames, place)
    light = 1 - 0.42 * smooth(0.62, 0.95, brightness(behind))
    tint = torch.tensor([1.0, 0.95, 0.82]).reshape(3, 1, 1, 1, 1)
    return cover(places, behind, inside * disc * opacity[:, :, None, None], light * tint)


def bokeh_layer(
    frames: Tensor, p: Tensor, size: Tensor, t: Tensor, wind: Tensor, spec: Tensor, palette: Tensor
) -> tuple[Tensor, Tensor]:
    """Lights out of focus: discs with a brighter rim that drift and breathe.

    spec: count, smallest and largest radius, way, light. palette (C, 3).
    """
    short = size[2]
    w, h = size[1] / short, size[0] / short
    x = w * t[:, 1] + spec[3] * (wave(p + t[:, 3]) + wind * wave(p + t[:, 4]))
    y = h * t[:, 2] + spec[3] * 0.8 * wave(p + t[:, 5])
    pulse = 0.5 + 0.5 * wave((1 + torch.floor(2 * t[:, 6])) * p + t[:, 7])
    size_now = (spec[1] + (spec[2] - spec[1]) * t[:, 0]) * short
    dx, dy, place, inside = window(frames, x * short, y * short, spec[2] * short + 1)
    r = size_now[None, :, None, None]
    distance = (dx * dx + dy * dy).sqrt()
    soft = 1 + 0.06 * r
    disc = smooth(0.0, 1.0, (r - distance) / soft)
    rim = 0.62 + 0.38 * smooth(0.72, 0.96, distance / r) + 0.1 * dy / r
    light = inside * disc * rim * (spec[4] * (0.3 + 0.7 * pulse) * (0.6 + 0.4 * t[:, 8]))[:, :, None, None]
    colour = palette[(t[:, 9] * palette.shape[0]).to(torch.int64).clamp(0, palette.shape[0] - 1)]
    colour = colour.t()[:, None, :, None, None]
    places, behind = channels(frames, place)
    # On white a disc of light is one of colour.
    full = smooth(0.6, 1.0, brightness(behind))
    added = light[None] * (colour * (1 - behind) + full * 0.8 * (colour - behind))
    return places.reshape(-1), added.reshape(-1)


def bubble_layer(
    frames: Tensor, p: Tensor, size: Tensor, t: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    """Soap or air bubbles that rise and wobble: a rim of changing colour, two reflections, a dark edge.

    spec: count, smallest and largest radius, way up in a clip, opacity.
    """
    short = size[2]
    w, h = size[1] / short, size[0] / short
    life = fraction(p + t[:, 1])
    margin = spec[2] + 0.02
    rise = spec[3] * (0.75 + 0.5 * t[:, 0])
    wobble = 0.03 * wave((1 + t[:, 2]) * life + t[:, 3]) + 0.01 * wave(3.1 * life + t[:, 4])
    y = wrap(t[:, 5] - rise * life / (h + 2 * margin), h, margin)
    x = wrap(t[:, 6] + (wind * rise * life + wobble) / (w + 2 * margin), w, margin)
    dx, dy, place, inside = window(frames, x * short, y * short, spec[2] * short * 1.06 + 1)
    r = ((spec[1] + (spec[2] - spec[1]) * t[:, 0]) * short)[None, :, None, None]
    squash = 1 + 0.04 * wave(3 * life + t[:, 7])[:, :, None, None]
    u, v = dx * squash / r, dy / (r * squash)
    d = (u * u + v * v).sqrt()
    whole = (r * (1 - d) + 0.5).clamp(0, 1)
    rim = smooth(0.72, 0.97, d) * whole
    lit = 0.55 + 0.45 * (-0.7 * u - 0.7 * v) / d.clamp(min=0.2)
    glint = torch.exp(-((u + 0.42) ** 2 + (v + 0.45) ** 2) / 0.018)
    second = 0.5 * torch.exp(-((u - 0.46) ** 2 + (v - 0.48) ** 2) / 0.03)
    bright = (rim * (0.35 + 0.5 * lit) + glint + second + 0.05) * whole
    dark = smooth(0.90, 0.99, d) * whole * 0.35
    hue = 0.5 * d + 0.25 * (u - v) + t[:, 8][None, :, None, None] + 0.5 * life[:, :, None, None]
    colour = torch.stack([wave(hue), wave(hue + 0.33), wave(hue + 0.67)]) * 0.14 + 0.9
    opacity = (inside * spec[4] * fade(life, 0.1)[:, :, None, None])[None]
    places, behind = channels(frames, place)
    full = smooth(0.55, 0.95, brightness(behind))
    added = bright * (colour - behind) - dark * behind * (0.4 + 0.9 * full)
    added = added + rim * full * (colour - 0.98) * 0.8
    return places.reshape(-1), (opacity * added).reshape(-1)


@torch.jit.script_if_tracing
def embers(
    frames: Tensor, p: Tensor, size: Tensor, crowd: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    drawing = nothing(frames)
    for k in range(present(spec)):
        t = some(crowd, 2300 + many(k), spec[k, 0])
        drawing = with_layer(drawing, ember_layer(frames, p, size, t, wind, spec[k]))
    return drawing


@torch.jit.script_if_tracing
def fireflies(
    frames: Tensor, p: Tensor, size: Tensor, crowd: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    drawing = nothing(frames)
    for k in range(present(spec)):
        t = some(crowd, 400 + many(k), spec[k, 0])
        drawing = with_layer(drawing, firefly_layer(frames, p, size, t, wind, spec[k]))
    return drawing


@torch.jit.script_if_tracing
def dust(
    frames: Tensor, p: Tensor, size: Tensor, crowd: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    drawing = nothing(frames)
    for k in range(present(spec)):
        t = some(crowd, 1500 + many(k), spec[k, 0])
        drawing = with_layer(drawing, dust_layer(frames, p, size, t, wind, spec[k]))
    return drawing


@torch.jit.script_if_tracing
def bokeh(
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
        t = some(crowd, 3000 + many(k), spec[k, 0])
        drawing = with_layer(drawing, bokeh_layer(frames, p, size, t, wind, spec[k], palette))
    return drawing


@torch.jit.script_if_tracing
def bubbles(
    frames: Tensor, p: Tensor, size: Tensor, crowd: Tensor, wind: Tensor, spec: Tensor
) -> tuple[Tensor, Tensor]:
    drawing = nothing(frames)
    for k in range(present(spec)):
        t = some(crowd, 2900 + many(k), spec[k, 0])
        drawing = with_layer(drawing, bubble_layer(frames, p, size, t, wind, spec[k]))
    return drawing
