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
# By class: the share of a panorama that is passed. A fast camera passes all of it, and settles at the end.
ACROSS = (0.0, 0.6, 1.0, 1.0)


def curve(p: Tensor, course: Tensor) -> Tensor:
    """How much of its way the camera has gone at p (N, P): 0 at 0, 1 at 1, never backwards.

    course (N, 32): number 3 says how much slower both ends are than the middle, number 4 whether the camera
    hurries at the start or at the end.
    """
    ends = -0.5 * course[:, 3:4]
    lead = 0.9 * (course[:, 4:5] - 0.5)
    return p + ends * torch.sin(TAU * p) / TAU + lead * p * (1 - p)


def _paths(
    one_hot: Tensor,
    gain: Tensor,
    p: Tensor,
    ax: Tensor,
    ay: Tensor,
    beyond_x: Tensor,
    beyond_y: Tensor,
    course: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Camera before overscan at positions p (N, P): zoom logarithm, x, y, angle, each (N, P).

    beyond_x, beyond_y (): what a frame does not see of the picture, where it is smaller.
    """
    level = one_hot @ one_hot.new_tensor(LEVELS)
    present = 1 - one_hot[:, :, 0]
    # Only a camera that pans, tilts or turns wanders; one that zooms has its point to go for, and one that
    # passes along a panorama no room.
    whole = (beyond_x + beyond_y <= 0).to(p.dtype)
    moved = (level[:, 2:8].sum(1, keepdim=True) * 2).clamp(max=1) * whole

    def pair(first: int, second: int, size: Tensor, hurry: Tensor | None = None) -> Tensor:
        both = (present[:, first] * present[:, second])[:, None]
        parts = []
        for kind, since in ((first, p * (1 + both)), (second, p * (1 + both) - both)):
            t = since.clamp(0, 1)
            if hurry is not None:
                t = t + hurry[:, kind, None] * t * (1 - t)
            parts.append(size[:, kind, None] * curve(t, course))
        return parts[0] - parts[1]

    def pan(first: int, second: int, full: Tensor, beyond: Tensor) -> Tensor:
        along = (beyond > 0).to(p.dtype)
        share = one_hot @ one_hot.new_tensor(ACROSS)
        size = (1 - along) * gain[:, None] * full * level + along * beyond * share
        return pair(first, second, size, along * one_hot[:, :, 3])

    def drift(number: int) -> Tensor:
        phase = course[:, number : number + 1]
        return DRIFT * moved * (torch.sin(TAU * (0.5 * p + phase)) - torch.sin(TAU * phase))

    i = INDEX
    reach = gain[:, None] * level
    zoom = pair(i["zoom-in"], i["zoom-out"], ZOOM * reach)
    x = -pan(i["pan-left"], i["pan-right"], PAN * 2 * ax, beyond_x) + drift(5)
    y = -pan(i["tilt-up"], i["tilt-down"], TILT * 2 * ay, beyond_y) + drift(6)
    angle = pair(i["rotate-cw"], i["rotate-ccw"], ROTATE * reach)
    return zoom, x, y, angle


def camera(
    one_hot: Tensor,
    gain: Tensor,
    p: Tensor,
    half: tuple[Tensor, Tensor],
    seen: tuple[Tensor, Tensor],
    course: Tensor,
    focus: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the frames show: magnification m, centre cx and cy (half short sides), angle, each (N, P).

    one_hot (N, 29, 4), gain (N,), positions p (N, P), half sides of the picture and of the frames, each (),
    over the picture's half short side, course (N, 32), focus (N, 2) in -1 … 1 of the picture. Every frame
    lies inside the picture. Frames that are narrower (or lower) than the picture see its middle, or pass
    along it in a pan (or tilt).
    """
    grid = torch.linspace(0, 1, SAMPLES, dtype=p.dtype, device=p.device)[None]
    (ax, ay), (fx, fy) = half, seen
    # Below this a difference is the rounding of sizes.
    beyond_x, beyond_y = ((2 * (a - f)) * (a > 1.02 * f).to(p.dtype) for a, f in ((ax, fx), (ay, fy)))
    shape = (ax, ay, beyond_x, beyond_y)
    # Samples of the whole path and what is asked for at once: half the nodes of the graph.
    both = torch.cat([grid.expand(p.shape[0], -1), p], 1)
    paths = [(path[:, :SAMPLES], path[:, SAMPLES:]) for path in _paths(one_hot, gain, both, *shape, course)]
    (zoom_s, zoom), (x_s, x), (y_s, y), (angle_s, angle) = paths
    present = 1 - one_hot[:, :, 0]
    q = (present[:, INDEX["zoom-in"]] - present[:, INDEX["zoom-out"]])[:, None]
    pans = torch.maximum(present[:, INDEX["pan-left"]], present[:, INDEX["pan-right"]])
    tilts = torch.maximum(present[:, INDEX["tilt-up"]], present[:, INDEX["tilt-down"]])

    def offset(path: Tensor, beyond: Tensor, along: Tensor) -> Tensor:
        middle = (path.amin(1, keepdim=True) + path.amax(1, keepdim=True)) / 2
        zoomed = (1 - q.abs()) * middle + (q > 0) * path[:, :1] + (q < 0) * path[:, -1:]
        # Where not all of a panorama is passed, the seed says which part.
        length = path.amax(1, keepdim=True) - path.amin(1, keepdim=True)
        passed = middle - (beyond - length).clamp(min=0) * along[:, None] * (course[:, 1:2] - 0.5)
        return torch.where(beyond > 0, passed, zoomed)

    x0, y0 = offset(x_s, beyond_x, pans), offset(y_s, beyond_y, tilts)
    cos, sin = angle_s.cos().abs(), angle_s.sin().abs()
    need_x = (fx * cos + fy * sin) / (ax - (x_s - x0).abs())
    need_y = (fx * sin + fy * cos) / (ay - (y_s - y0).abs())
    need = torch.maximum(need_x, need_y) * torch.exp(-zoom_s)
    overscan = need.amax(1, keepdim=True).clamp(min=1.0)
    m = overscan * torch.exp(zoom)
    cx, cy = x - x0, y - y0
    cos, sin = angle.cos().abs(), angle.sin().abs()
    free_x = (ax - (fx * cos + fy * sin) / m - cx.abs()).clamp(min=0)
    free_y = (ay - (fx * sin + fy * cos) / m - cy.abs()).clamp(min=0)
    zooms = torch.maximum(present[:, INDEX["zoom-in"]], present[:, INDEX["zoom-out"]])
    # A point that is pulled to rest on the screen while the picture grows around it; it wanders a little.
    sway = 0.16 * torch.sin(TAU * (0.6 * p + course[:, 7:8]))
    px = (focus[:, :1] + sway).clamp(-1, 1) * (zooms * (1 - pans))[:, None]
    py = (focus[:, 1:2] - sway).clamp(-1, 1) * (zooms * (1 - tilts))[:, None]
    return m, cx + px * free_x, cy + py * free_y, angle
