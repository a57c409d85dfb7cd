"""The camera of the second edition: which part of the picture each frame shows.

Kinds 0 to 8 mean what MOTION.md says of them and travel as far; the seed decides what the words leave open.
Course 1 to 7 are used here and by salience.py. Traced into unet_cond.
"""

import math

import torch
from torch import Tensor

from kinds import INDEX, LEVELS

TAU = 2 * math.pi
SAMPLES = 33
ZOOM = 0.36  # natural logarithm of the magnification over a clip at level 1
PAN = 0.20  # share of the picture's width
TILT = 0.20  # share of the picture's height
ROTATE = math.radians(13.0)
DRIFT = 0.022  # half short sides of what a moving camera wanders off its line


def curve(p: Tensor, course: Tensor) -> Tensor:
    """How much of its way the camera has gone at p (N, P): 0 at 0, 1 at 1, never backwards.

    course (N, 32): number 3 says how much slower both ends are than the middle, number 4 whether the camera
    hurries at the start or at the end.
    """
    ends = -0.5 * course[:, 3:4]
    lead = 0.9 * (course[:, 4:5] - 0.5)
    return p + ends * torch.sin(TAU * p) / TAU + lead * p * (1 - p)


def _paths(
    one_hot: Tensor, gain: Tensor, p: Tensor, ax: Tensor, ay: Tensor, course: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Camera before overscan at positions p (N, P): zoom logarithm, x, y, angle, each (N, P)."""
    level = one_hot @ one_hot.new_tensor(LEVELS)
    present = 1 - one_hot[:, :, 0]
    # Only a camera that pans, tilts or turns wanders; one that zooms has its point to go for.
    moved = (level[:, 2:8].sum(1, keepdim=True) * 2).clamp(max=1)

    def pair(first: int, second: int, full: float) -> Tensor:
        both = (present[:, first] * present[:, second])[:, None]
        e1 = curve((p * (1 + both)).clamp(0, 1), course)
        e2 = curve((p * (1 + both) - both).clamp(0, 1), course)
        return gain[:, None] * full * (level[:, first, None] * e1 - level[:, second, None] * e2)

    def drift(number: int) -> Tensor:
        phase = course[:, number : number + 1]
        return DRIFT * moved * (torch.sin(TAU * (0.5 * p + phase)) - torch.sin(TAU * phase))

    i = INDEX
    zoom = pair(i["zoom-in"], i["zoom-out"], ZOOM)
    x = -pair(i["pan-left"], i["pan-right"], PAN) * (2 * ax) + drift(5)
    y = -pair(i["tilt-up"], i["tilt-down"], TILT) * (2 * ay) + drift(6)
    angle = pair(i["rotate-cw"], i["rotate-ccw"], ROTATE)
    return zoom, x, y, angle


def camera(
    one_hot: Tensor, gain: Tensor, p: Tensor, ax: Tensor, ay: Tensor, course: Tensor, focus: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the frames show: magnification m, centre cx and cy (half short sides), angle, each (N, P).

    one_hot (N, 29, 4), gain (N,), positions p (N, P), ax and ay the picture's half sides over its short one,
    course (N, 32), focus (N, 2) in -1 … 1 of the picture. Every frame lies inside the picture.
    """
    grid = torch.linspace(0, 1, SAMPLES, dtype=p.dtype, device=p.device)[None]
    zoom_s, x_s, y_s, angle_s = _paths(one_hot, gain, grid, ax, ay, course)
    present = 1 - one_hot[:, :, 0]
    q = (present[:, INDEX["zoom-in"]] - present[:, INDEX["zoom-out"]])[:, None]

    def offset(path: Tensor) -> Tensor:
        middle = (path.amin(1, keepdim=True) + path.amax(1, keepdim=True)) / 2
        return (1 - q.abs()) * middle + (q > 0) * path[:, :1] + (q < 0) * path[:, -1:]

    x0, y0 = offset(x_s), offset(y_s)
    cos, sin = angle_s.cos().abs(), angle_s.sin().abs()
    need_x = (ax * cos + ay * sin) / (ax - (x_s - x0).abs())
    need_y = (ax * sin + ay * cos) / (ay - (y_s - y0).abs())
    need = torch.maximum(need_x, need_y) * torch.exp(-zoom_s)
    overscan = need.amax(1, keepdim=True).clamp(min=1.0)
    zoom, x, y, angle = _paths(one_hot, gain, p, ax, ay, course)
    m = overscan * torch.exp(zoom)
    cx, cy = x - x0, y - y0
    cos, sin = angle.cos().abs(), angle.sin().abs()
    free_x = (ax - (ax * cos + ay * sin) / m - cx.abs()).clamp(min=0)
    free_y = (ay - (ax * sin + ay * cos) / m - cy.abs()).clamp(min=0)
    zooms = torch.maximum(present[:, INDEX["zoom-in"]], present[:, INDEX["zoom-out"]])
    pans = torch.maximum(present[:, INDEX["pan-left"]], present[:, INDEX["pan-right"]])
    tilts = torch.maximum(present[:, INDEX["tilt-up"]], present[:, INDEX["tilt-down"]])
    # A point that is pulled to rest on the screen while the picture grows around it; it wanders a little.
    sway = 0.16 * torch.sin(TAU * (0.6 * p + course[:, 7:8]))
    px = (focus[:, :1] + sway).clamp(-1, 1) * (zooms * (1 - pans))[:, None]
    py = (focus[:, 1:2] - sway).clamp(-1, 1) * (zooms * (1 - tilts))[:, None]
    return m, cx + px * free_x, cy + py * free_y, angle
