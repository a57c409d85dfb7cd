"""The motions of the built-in model as code: MOTION.md in models/builtin, line by line.

`sampling_grid` is traced into unet_cond (height, width and frame count stay free); `warp` is the analytic
truth that training and evaluation compare against. Knows nothing of words and of networks.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

SPEC = json.loads((Path(__file__).resolve().parent.parent / "builtin" / "motion.json").read_text())
KINDS = SPEC["kinds"]
SPEEDS = SPEC["speeds"]
NUM_KINDS = len(KINDS)
INDEX = {kind: i for i, kind in enumerate(KINDS)}
# Class 0 is "absent"; the others are SPEEDS in order.
LEVELS = [0.0] + [SPEC["levels"][s] for s in SPEEDS]
FULL = {name: entry["full"] for name, entry in SPEC["amplitudes"].items()}
LOCAL_AMPLITUDES = {
    k: [0.0] + [SPEC["amplitudes"][k]["byLevel"][s] for s in SPEEDS] for k in ("waves", "sway")
}
LOCAL_CYCLES = {
    k: [[1.0] + [float(SPEC["cycles"][k][s][i]) for s in SPEEDS] for i in (0, 1)] for k in ("waves", "sway")
}
SAMPLES = SPEC["overscanSamples"]
TAU = 2 * math.pi


def classes_of(motions: Iterable[tuple[str, str]]) -> Tensor:
    """[(kind, speed)] → class per kind (NUM_KINDS,). Without any motion it is the default of motion.json."""
    classes = torch.zeros(NUM_KINDS, dtype=torch.long)
    for kind, speed in motions:
        classes[INDEX[kind]] = 1 + SPEEDS.index(speed)
    if classes.sum() == 0:
        classes[INDEX[SPEC["default"]["kind"]]] = 1 + SPEEDS.index(SPEC["default"]["speed"])
    return classes


def fps_gain(fps: Tensor) -> Tensor:
    """targetFps (float tensor) → factor of every amplitude."""
    spec = SPEC["fpsGain"]
    return torch.exp(
        (spec["reference"] - fps.clamp(spec["min"], spec["max"])) * (math.log(2) / spec["octave"])
    )


def ease(p: Tensor) -> Tensor:
    return 0.5 * p + 0.5 * (3 * p * p - 2 * p * p * p)


def _paths(
    one_hot: Tensor, gain: Tensor, p: Tensor, ax: Tensor, ay: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Camera before overscan at positions p (N, P): zoom logarithm, x, y, angle, each (N, P)."""
    level = one_hot @ one_hot.new_tensor(LEVELS)  # (N, NUM_KINDS)
    present = 1 - one_hot[:, :, 0]

    def pair(first: int, second: int, full: float) -> Tensor:
        both = (present[:, first] * present[:, second])[:, None]
        e1 = ease((p * (1 + both)).clamp(0, 1))
        e2 = ease((p * (1 + both) - both).clamp(0, 1))
        return gain[:, None] * full * (level[:, first, None] * e1 - level[:, second, None] * e2)

    i = INDEX
    zoom = pair(i["zoom-in"], i["zoom-out"], FULL["zoom"])
    x = -pair(i["pan-left"], i["pan-right"], FULL["pan"]) * (2 * ax)
    y = -pair(i["tilt-up"], i["tilt-down"], FULL["tilt"]) * (2 * ay)
    angle = pair(i["rotate-cw"], i["rotate-ccw"], math.radians(FULL["rotate"]))
    return zoom, x, y, angle


def camera(
    one_hot: Tensor, gain: Tensor, p: Tensor, ax: Tensor, ay: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One-hot classes (N, NUM_KINDS, 4), gain (N,), positions p (N, P) → m, cx, cy, angle, each (N, P)."""
    grid = torch.linspace(0, 1, SAMPLES, dtype=p.dtype, device=p.device)[None]
    zoom_s, x_s, y_s, angle_s = _paths(one_hot, gain, grid, ax, ay)
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
    zoom, x, y, angle = _paths(one_hot, gain, p, ax, ay)
    return overscan * torch.exp(zoom), x - x0, y - y0, angle


def _step(a: float, b: float, t: Tensor) -> Tensor:
    t = ((t - a) / (b - a)).clamp(0, 1)
    return t * t * (3 - 2 * t)


# Scripted, so that the branch survives tracing: most prompts name neither waves nor sway, and the sines of
# every pixel are slow.
@torch.jit.script_if_tracing
def _waves(
    u: Tensor, v: Tensor, xn: Tensor, yn: Tensor, a: Tensor, p1: Tensor, p2: Tensor, tau: float
) -> tuple[Tensor, Tensor]:
    if bool((a == 0).all()):
        du, dv = a + a, -a  # zeros; the same tensor twice would not export
    else:
        xn2, yn2 = xn * xn, yn * yn
        phase1 = tau * (0.9 * u + 1.6 * v - p1)
        phase2 = tau * (-1.7 * u + 2.9 * v - p2 + 0.25)
        g = a * _step(-0.25, 0.45, yn)
        du = g * (1 - xn2 * xn2) * (0.5 * (phase1.cos() + 0.35 * phase2.cos()))
        dv = g * (1 - yn2 * yn2 * yn2) * (phase1.sin() + 0.35 * phase2.sin())
    return du, dv


@torch.jit.script_if_tracing
def _sway(
    u: Tensor, v: Tensor, xn: Tensor, yn: Tensor, a: Tensor, p1: Tensor, p2: Tensor, tau: float
) -> tuple[Tensor, Tensor]:
    if bool((a == 0).all()):
        du, dv = a + a, -a  # zeros; the same tensor twice would not export
    else:
        xn2, yn2 = xn * xn, yn * yn
        b = ((1 - yn) / 2).clamp(min=0)
        b = a * (b * b.sqrt())
        du = (
            b
            * (1 - xn2 * xn2)
            * ((tau * (p1 - 0.3 * u)).sin() + 0.3 * (tau * (p2 - 1.1 * u + 0.8 * v + 0.2)).sin())
        )
        dv = b * (1 - yn2 * yn2) * (0.25 * (tau * (p2 + 0.9 * u + 0.25)).sin())
    return du, dv


def local_motion(
    one_hot: Tensor, gain: Tensor, p: Tensor, u: Tensor, v: Tensor, ax: Tensor, ay: Tensor
) -> tuple[Tensor, Tensor]:
    """Displacement of waves and sway at the picture's points u, v (N, H, W), position p (N,); (N, 1, 1) where
    all is zero.
    """

    def numbers(kind: str) -> tuple[Tensor, Tensor, Tensor]:
        hot = one_hot[:, INDEX[kind]]
        a = gain * (hot @ hot.new_tensor(LOCAL_AMPLITUDES[kind]))
        c1 = hot @ hot.new_tensor(LOCAL_CYCLES[kind][0])
        c2 = hot @ hot.new_tensor(LOCAL_CYCLES[kind][1])
        return a[:, None, None], (c1 * p)[:, None, None], (c2 * p)[:, None, None]

    xn, yn = u / ax, v / ay
    du, dv = _waves(u, v, xn, yn, *numbers("waves"), TAU)
    sway_u, sway_v = _sway(u, v, xn, yn, *numbers("sway"), TAU)
    return du + sway_u, dv + sway_v


def sampling_grid(
    one_hot: Tensor, gain: Tensor, p: Tensor, height: int | Tensor, width: int | Tensor
) -> Tensor:
    """Where each pixel of each frame looks, for torch's grid_sample (align_corners false): (N, H, W, 2).

    One-hot classes (N, NUM_KINDS, 4) float, gain (N,), position p (N,); N is one (row, frame) pair per item.
    height and width may be ints or 0-d tensors (tracing).
    """
    height = torch.as_tensor(height, dtype=p.dtype, device=p.device)
    width = torch.as_tensor(width, dtype=p.dtype, device=p.device)
    short = torch.minimum(height, width)
    ax, ay = width / short, height / short
    m, cx, cy, angle = camera(one_hot, gain, p[:, None], ax, ay)
    xs = (2 * torch.arange(width, dtype=p.dtype, device=p.device) + 1 - width) / short
    ys = (2 * torch.arange(height, dtype=p.dtype, device=p.device) + 1 - height) / short
    cos, sin = (angle.cos() / m)[:, :, None], (angle.sin() / m)[:, :, None]  # (N, 1, 1)
    u = cos * xs[None, None, :] + (sin * ys[None, :, None] + cx[:, :, None])
    v = (cx.new_zeros(()) - sin) * xs[None, None, :] + (cos * ys[None, :, None] + cy[:, :, None])
    du, dv = local_motion(one_hot, gain, p, u, v, ax, ay)
    return torch.stack([(u + du) / ax, (v + dv) / ay], -1)


def sample(picture: Tensor, grid: Tensor) -> Tensor:
    """Cubic convolution with a = -0.75, border clamped; picture (N, C, H, W), grid (N, H, W, 2)."""
    return F.grid_sample(picture, grid, mode="bicubic", padding_mode="border", align_corners=False)


def warp(picture: Tensor, classes: Tensor, fps: Tensor, p: Tensor) -> Tensor:
    """The analytic truth: picture (N, 3, H, W), classes (N, NUM_KINDS), fps (N,), p (N,) → frames (N, 3, H,
    W).
    """
    one_hot = F.one_hot(classes, 4).to(picture.dtype)
    grid = sampling_grid(one_hot, fps_gain(fps.to(picture.dtype)), p, picture.shape[-2], picture.shape[-1])
    return sample(picture, grid)


def positions(num_frames: int) -> Tensor:
    """Positions of the frames of a clip: (F,)."""
    return torch.arange(num_frames, dtype=torch.float32) / max(num_frames - 1, 1)
