"""Waves, sway and clouds that move only where water, foliage and sky are.

For whoever builds the graph (one clip of F frames):

    maps = local.maps(m, one_hot, gain, course, details)      # once per clip
    field = local.field(maps, p)                               # (F, 5, H/2, W/2), any part of the clip
    frames = local.look(picture, grid, field)                  # (F, 3, H, W)

m (1, 3, H/4, W/4): masks of masks.py; one_hot (1, 29, 4): classes per kind, after the rule for what does not
fit; gain (1,): factor of all amplitudes; course, details (1, 32) in [0, 1); p (F,) in 0 … 1; picture (1, 3,
H, W) in -1 … 1, H and W multiples of 4; grid (F, H, W, 2): where the camera looks, for grid_sample
(align_corners false). A kind that is absent moves nothing, and without any of the three `look` samples once.

At p = 0 nothing is displaced, and p = 1 equals p = 0. Waves and sway are sums of sines of whole cycles, so
that a clip is a product of a small table over time with maps over the picture.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

WAVES, SWAY, CLOUDS, WIND_LEFT, WIND_RIGHT = 9, 10, 11, 27, 28
TAU = 2 * math.pi
# By class: absent, slow, normal, fast.
WAVE_SIZE = (0.0, 0.75, 1.2, 1.7)
SWAY_SIZE = (0.0, 0.55, 1.0, 1.5)
# Way of the clouds in a clip, in half short sides.
CLOUD_WAY = (0.0, 0.16, 0.30, 0.46)
# Distances from the border, in cells of the masks, over which the clouds' way grows.
DISTANCES = (1, 3, 6, 10, 14, 19, 24)
# Waves: length and height in half short sides where the water is nearest, cycles by class, turn in radians.
# Those of the first half belong to the course, those of the second to the details.
SEA = (
    (0.62, 0.0090, (1.0, 1.0, 2.0, 3.0), 0.35),
    (0.46, 0.0080, (1.0, 1.0, 2.0, 3.0), 0.55),
    (0.33, 0.0065, (1.0, 2.0, 3.0, 4.0), 0.60),
    (0.24, 0.0050, (1.0, 2.0, 3.0, 4.0), 0.80),
    (0.18, 0.0038, (1.0, 2.0, 4.0, 5.0), 0.90),
    (0.14, 0.0030, (1.0, 3.0, 4.0, 6.0), 0.90),
    (0.11, 0.0024, (1.0, 3.0, 5.0, 6.0), 0.90),
    (0.085, 0.0018, (1.0, 3.0, 5.0, 7.0), 0.90),
)
# Crests are seen foreshortened: up and down they are this much shorter than across.
FORESHORTENING = 1.9
LIGHT = 5.6
# Gusts: length, reach in half short sides, cycles by class.
GUSTS = (
    (2.6, 0.0120, (1.0, 1.0, 1.0, 2.0)),
    (1.5, 0.0090, (1.0, 1.0, 2.0, 3.0)),
    (0.9, 0.0060, (1.0, 2.0, 3.0, 4.0)),
)
# Flutter: size of a tuft, reach, cycles by class.
FLUTTER = (
    (0.80, 0.0055, (1.0, 2.0, 4.0, 5.0)),
    (0.52, 0.0036, (1.0, 3.0, 5.0, 7.0)),
    (0.34, 0.0018, (1.0, 4.0, 6.0, 9.0)),
)


class Plane:
    """Places of the cells of a map, in half short sides from the middle of the picture.

    ax, ay: half-width and half-height; x (1, 1, 1, w), y (1, 1, h, 1); cell: one cell's side.
    """

    def __init__(self, like: Tensor) -> None:
        ones = torch.ones_like(like[:1, :1])
        row, column = ones[:, :, :1].cumsum(3), ones[:, :, :, :1].cumsum(2)
        width, height = row[:, :, :, -1:], column[:, :, -1:]
        short = torch.minimum(width, height)
        self.ax, self.ay, self.cell = width / short, height / short, 2 / short
        self.x, self.y = (2 * row - 1) / short - self.ax, (2 * column - 1) / short - self.ay


def _step(a: float, b: float, t: Tensor) -> Tensor:
    t = ((t - a) / (b - a)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _blur(x: Tensor, size: int) -> Tensor:
    half = size // 2
    return F.avg_pool2d(F.pad(x, (half, half, half, half), mode="replicate"), size, 1)


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _pick(one_hot: Tensor, kind: int, values: tuple[float, ...]) -> Tensor:
    return one_hot[:, kind] @ one_hot.new_tensor(values)


def _column(components: tuple[tuple, ...], k: int, like: Tensor) -> Tensor:
    """Number k of each: (N, 1, 1, 1)."""
    return like.new_tensor([each[k] for each in components])[:, None, None, None]


def _cycles(one_hot: Tensor, kind: int, components: tuple[tuple, ...]) -> Tensor:
    """Cycles of each component, its third number, at the class that was asked for: (N,)."""
    return one_hot.new_tensor([each[2] for each in components]) @ one_hot[0, kind]


def wind(one_hot: Tensor, course: Tensor) -> Tensor:
    """-1 towards the left, 1 towards the right: the one asked for, else one of the course's: (1,)."""
    asked = (one_hot[:, WIND_LEFT, 0] - one_hot[:, WIND_RIGHT, 0]).clamp(-1, 1)
    own = (course[:, 8] < 0.5).to(course.dtype) * 2 - 1
    return asked + (1 - asked.abs()) * own


def _depth(water: Tensor) -> tuple[Tensor, Tensor]:
    """Nearness of each row, 1 at the water's lower end and small at its upper one: (1, 1, h, 1), and the
    water's height as a part of the picture's (1, 1, 1, 1)."""
    rows = water.mean(3, keepdim=True)
    height = torch.ones_like(rows).cumsum(2)
    share = rows.cumsum(2) / rows.sum(2, keepdim=True).clamp(min=1e-6)
    first = (share < 0.01).to(rows.dtype).sum(2, keepdim=True)
    last = (share < 0.99).to(rows.dtype).sum(2, keepdim=True) + 1
    extent = (last - first).clamp(min=1)
    near = ((height - 0.5 - first) / extent).clamp(0, 1)
    return 0.14 + 0.86 * near, extent / height[:, :, -1:]


def waves(
    water: Tensor, one_hot: Tensor, blows: Tensor, course: Tensor, details: Tensor
) -> tuple[Tensor, Tensor]:
    """Swell that comes nearer and shorter waves across it, smaller, closer and slower towards the horizon.

    Mask (1, 1, h, w) → cycles (M,) and the factors of their sines and cosines in du, dv and light, (2, M, 3,
    h, w), in half short sides."""
    plane = Plane(water)
    near, extent = _depth(water)
    size = _pick(one_hot, WAVES, WAVE_SIZE)[:, None, None, None]
    soft = water * _step(0.2, 0.9, _blur(water, 9))
    # One row for each component: the graph has a node for each step, not one for each step and component.
    lengths, heights, bends = (_column(SEA, k, water) for k in (0, 1, 3))
    seed = torch.cat([course[:, 9:21].reshape(3, 4), details[:, 9:21].reshape(3, 4)], 1)
    turn, stretch, start = seed[:, :, None, None, None].unbind()
    angle = (turn - 0.5) * 2 * bends + 0.35 * blows[:, None, None, None]
    longer = lengths * (0.75 + 0.6 * stretch)
    across = angle.sin() * plane.x * 1.1 / (near + 0.25)
    towards = angle.cos() * FORESHORTENING / 0.86 * 2 * plane.ay * extent * near.log()
    phase = TAU * ((across + towards) / longer + start)
    # What the maps cannot hold is left out.
    held = _step(3, 6, longer * near / FORESHORTENING / plane.cell)
    amount = size * heights * near * held * soft
    s, c = phase.sin() * amount, phase.cos() * amount
    slope = LIGHT / longer
    # sin(phase - wt) up and down, cos(phase - wt) to and fro and as light.
    sines, cosines = torch.cat([0.6 * s, -c, slope * s], 1), torch.cat([0.6 * c, s, slope * c], 1)
    return _cycles(one_hot, WAVES, SEA), torch.stack([sines, cosines])


def _rooted(foliage: Tensor) -> Tensor:
    """How freely each cell moves: 0 at the border and the lower end of the mask, 1 well inside: like the
    mask."""
    m = _blur(foliage, 5)
    total = torch.zeros_like(m)
    for k in (2, 4, 8, 16):
        m = torch.minimum(m, F.pad(m[:, :, k:], (0, 0, 0, k)))
        total = total + m
    return foliage * _blur(total / 4, 9) * _step(0.2, 0.9, _blur(foliage, 9))


def sway(
    foliage: Tensor, free: Tensor, one_hot: Tensor, blows: Tensor, course: Tensor, details: Tensor
) -> tuple[Tensor, Tensor]:
    """Gusts that travel with the wind, and a flutter of tufts where a gust is; `free` from _rooted, at the
    maps' size. The result is as that of `waves`."""
    plane = Plane(foliage)
    blows = blows[:, None, None, None]
    amount = free * _pick(one_hot, SWAY, SWAY_SIZE)[:, None, None, None]
    stretch, lean, start = course[:, 21:30].reshape(3, 3, 1, 1, 1).unbind()
    lengths, reach = (_column(GUSTS, k, foliage) for k in (0, 1))
    along = blows * plane.x + 0.6 * (lean - 0.5) * plane.y
    gusts = TAU * (start - along / (lengths * (0.8 + 0.4 * stretch)))
    # The content leans with the wind, so the look goes against it.
    gusts_u, gusts_v = -blows * reach * amount, 0.25 * reach * amount
    own, stretch, across, down = details[:, 18:30].reshape(4, 3, 1, 1, 1).unbind()
    sizes, reach = (_column(FLUTTER, k, foliage) for k in (0, 1))
    tuft = sizes * (0.8 + 0.4 * stretch)
    # A stalk flutters as one, neighbours out of step and without the order of a wave.
    a = TAU * (plane.x / tuft + across)
    b = TAU * (0.4 * plane.y / tuft + down)
    alone = 1.5 * (a + b.cos()).sin() + 1.5 * (0.62 * a + 2.1 * b).cos() + TAU * own
    # Each also with the second gust's beat.
    flutter = torch.stack([alone, alone + gusts[1:2], alone - gusts[1:2]], 1).flatten(0, 1)
    share = flutter.new_tensor([1.0, 0.5, 0.5]).repeat(len(FLUTTER))[:, None, None, None]
    flutter_u = share * (reach * amount).repeat_interleave(3, 0)
    phase = torch.cat([gusts, flutter])
    du, dv = torch.cat([gusts_u, flutter_u]), torch.cat([gusts_v, 0.4 * flutter_u])
    s, c, none = phase.sin(), phase.cos(), torch.zeros_like(phase)
    sines, cosines = torch.cat([du * c, dv * c, none], 1), torch.cat([du * s, dv * s, none], 1)
    of_gusts, of_flutter = _cycles(one_hot, SWAY, GUSTS), _cycles(one_hot, SWAY, FLUTTER)
    beats = torch.stack([of_flutter, of_flutter + of_gusts[1], of_flutter - of_gusts[1]], 1).flatten()
    return torch.cat([of_gusts, beats]), torch.stack([sines, cosines])


def clouds(sky: Tensor, one_hot: Tensor, blows: Tensor, course: Tensor, details: Tensor) -> Tensor:
    """Way of each cell of the sky in a clip, at the size of the mask (1, 1, h, w): all of it well inside,
    none at the border, less towards the horizon, and some of it faster, as the seed says."""
    plane = Plane(sky)
    # The further from what is not sky, the further it may look aside, so that no look reaches that.
    left = 1 - F.max_pool2d(1 - _step(0.05, 0.3, sky), (3, 1), 1, (1, 0))
    free = torch.zeros_like(sky)
    for reach in DISTANCES:
        free = free + 1 - F.max_pool2d(1 - left, (1, 2 * reach + 1), 1, (0, reach))
    free = torch.minimum(free / len(DISTANCES), _blur(free / len(DISTANCES), 9))
    rows = sky.mean(3, keepdim=True)
    below = 1 - rows.cumsum(2) / rows.sum(2, keepdim=True).clamp(min=1e-6)
    way = _pick(one_hot, CLOUDS, CLOUD_WAY)[:, None, None, None] * blows[:, None, None, None]
    a, b = course[:, :, None, None, None], details[:, :, None, None, None]
    wide = (TAU * (a[:, 30] + 0.4 * plane.x + (a[:, 31] - 0.5) * plane.y)).sin()
    fine = (TAU * (b[:, 30] + 0.7 * plane.x + 2 * (b[:, 31] - 0.5) * plane.y)).sin()
    speed = 0.7 + 0.3 * a[:, 29] + 0.25 * wide + 0.12 * fine
    return -way * speed * (0.4 + 0.6 * below) * free * _step(0.1, 0.6, sky)


def maps(
    m: Tensor, one_hot: Tensor, gain: Tensor, course: Tensor, details: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What does not depend on time: cycles (M,), factors (2, M, 3, H/2, W/2), way of the clouds and weight
    of their second look (1, 1, H/2, W/2); of size 1 × 1 where nothing moves."""
    blows = wind(one_hot, course)
    whole = gain[:, None, None, None]
    way = _twice(clouds(m[:, 2:3], one_hot, blows, course, details) * whole)
    free = _twice(_rooted(m[:, 1:2]))
    big = _twice(m)
    wave_cycles, wave_maps = waves(big[:, :1], one_hot, blows, course, details)
    sway_cycles, sway_maps = sway(big[:, 1:2], free, one_hot, blows, course, details)
    cycles = torch.cat([wave_cycles, sway_cycles])
    factors = torch.cat([wave_maps, sway_maps], 1) * whole
    # Only what is there is kept; without any of the three one empty cell is.
    here = torch.cat(
        [
            (1 - one_hot[:, kind, 0]).expand(part.shape[0])
            for kind, part in ((WAVES, wave_cycles), (SWAY, sway_cycles))
        ]
    )
    kept = torch.cat([here[:1] + 1 - here.amax(0, keepdim=True), here[1:]]).nonzero()[:, 0]
    sized = (1 - one_hot[:, (WAVES, SWAY, CLOUDS), 0]).amax() > 0
    return _sized(cycles[kept], factors[:, kept], way, _step(0.0, 0.5, big[:, 2:3]), sized)


@torch.jit.script_if_tracing
def _sized(
    cycles: Tensor, factors: Tensor, way: Tensor, second: Tensor, whole: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if not bool(whole):
        factors, way, second = factors[:, :, :, :1, :1], way[:, :, :1, :1], second[:, :, :1, :1]
    return cycles, factors, way, second


def field(parts: tuple[Tensor, Tensor, Tensor, Tensor], p: Tensor) -> Tensor:
    """(F, 5, H/2, W/2), or (F, 5, 1, 1) where nothing moves: du and dv of the first look, du of the second,
    its weight, and light; displacements in the units of grid_sample."""
    cycles, factors, way, second = parts
    plane = Plane(way)
    angle = TAU * p[:, None] * cycles[None]
    sine, cosine = angle.sin(), angle.cos()
    size = way.shape[2:]
    moving = factors[:, :, :2].flatten(0, 1).flatten(1)
    moved = (torch.cat([sine, cosine - 1], 1) @ moving).reshape(-1, 2, *size)
    # Light comes and goes, so that the first frame is the picture.
    there = 1 - (1 - (TAU / 2 * p).sin().clamp(0, 1)) ** 3
    shining = factors[:, :, 2].flatten(0, 1).flatten(1)
    light = (there[:, None] * torch.cat([sine, cosine], 1) @ shining).reshape(-1, 1, *size)
    # Two looks at the clouds half a way apart; each fades out before it jumps back.
    p = p[:, None, None, None]
    a = p + 0.5 - (p + 0.5).floor() - 0.5
    b = p - p.floor() - 0.5
    weight = _step(0.0, 1.0, 2 * a.abs()) * second * (way.abs() > 0).to(way.dtype)
    u = plane.x + moved[:, :1]
    v = _mirrored(plane.y + moved[:, 1:], plane.ay) - plane.y
    du = (_mirrored(u + way * a, plane.ax) - plane.x) / plane.ax
    du2 = (_mirrored(u + way * b, plane.ax) - plane.x) / plane.ax
    return torch.cat([du, v / plane.ay, du2, weight, light], 1)


def _mirrored(x: Tensor, end: Tensor) -> Tensor:
    """Places beyond the picture's end are looked for as far inside it."""
    x = torch.minimum(x, 2 * end - x)
    return torch.maximum(x, -2 * end - x)


# Scripted, so that the branches survive tracing: most clips have no local motion.
@torch.jit.script_if_tracing
def look(picture: Tensor, grid: Tensor, field: Tensor) -> Tensor:
    """Frames (F, 3, H, W) of the picture (1, 3, H, W) seen at grid (F, H, W, 2), moved by field."""
    pictures = picture.expand(grid.shape[0], -1, -1, -1)
    if bool((field == 0).all()):
        frames = F.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False)
    else:
        # The field is smooth: half the frame's size is enough.
        half = F.avg_pool2d(grid.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        here = F.grid_sample(field, half, mode="bilinear", padding_mode="border", align_corners=False)
        here = F.interpolate(here, scale_factor=2.0, mode="bilinear", align_corners=False)
        first = grid + here[:, :2].permute(0, 2, 3, 1)
        frames = F.grid_sample(pictures, first, mode="bicubic", padding_mode="border", align_corners=False)
        if bool((field[:, 3] != 0).any()):
            second = grid + torch.stack([here[:, 2], here[:, 1]], 3)
            behind = F.grid_sample(
                pictures, second, mode="bilinear", padding_mode="border", align_corners=False
            )
            frames = frames + (behind - frames) * here[:, 3:4]
        if bool((field[:, 4] != 0).any()):
            frames = frames + here[:, 4:] * (0.6 * frames + 0.84)
    return frames
