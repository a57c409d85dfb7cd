"""Soft clouds that form in the sky, drift with the wind and dissolve, over the sky's own that local.py moves.

Most skies are too smooth for anybody to see them move. What is drawn lies behind whatever stands in front of
the sky, in the light that the sky itself has.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from air import look_up
from kinds import INDEX
from local import wind
from particles import smooth

# By class: way in a clip, in half short sides of the nearest clouds' plane, and how dense noise must be.
PACE = (0.0, 0.26, 0.52, 0.95)
LEAST = (0.0, 0.5, 0.2, -0.1)


def drift(one_hot: Tensor, gain: Tensor, course: Tensor) -> Tensor:
    """(2,): way of the clouds, to the right, and the least noise that is one; 0, 0 where none are drawn."""
    hot = one_hot[0, INDEX["clouds"]]
    way = (hot @ hot.new_tensor(PACE)) * wind(one_hot, course)[0] * gain[0]
    return torch.stack([way, hot @ hot.new_tensor(LEAST)])


@torch.jit.script_if_tracing
def sky(picture: Tensor, mask: Tensor, moved: Tensor) -> Tensor:
    """What the sky looks like around each cell and how much of the cell it is, (1, 4, h, w); one empty cell
    where nothing moves.

    picture (1, 3, H, W) in 0 … 1, mask (1, 1, H/4, W/4), moved (2,) from drift.
    """
    if bool(moved[0] == 0):
        seen = torch.zeros([1, 4, 1, 1])
    else:
        small = F.avg_pool2d(picture, 4)
        near = F.avg_pool2d(torch.cat([small * mask, mask], 1), 4)
        near = F.avg_pool2d(near, 9, 1, 4, count_include_pad=False)
        near = F.avg_pool2d(near, 9, 1, 4, count_include_pad=False)
        tint = near[:, :3] / near[:, 3:].clamp(min=1e-3)
        tint = F.interpolate(tint, size=[mask.shape[2], mask.shape[3]], mode="bilinear", align_corners=False)
        seen = torch.cat([tint, smooth(0.25, 0.9, mask)], 1)
    return seen


def _field(sky: Tensor, noise: Tensor, p: Tensor, moved: Tensor, course: Tensor, details: Tensor) -> Tensor:
    """How much of each cell the clouds cover, and that times their colour: (1, 4, h, w)."""
    tint, there = sky[:, :3], sky[:, 3:]
    wide, high = there.shape[3], there.shape[2]
    across = (2 * torch.arange(wide).to(there.dtype) + 1 - wide) / min(wide, high)
    c, d = course[:, :, None, None], details[:, :, None, None]
    rows = there.mean(3, keepdim=True)
    height = 1 - rows.cumsum(2) / rows.sum(2, keepdim=True).clamp(min=1e-6)
    # A plane above the viewer: clouds are smaller and slower towards the horizon.
    away = 1 / (0.5 + height)
    x = across[None, None, None, :] * away - moved[0] * p
    y = 1.1 * away + 0.0 * x
    bend = look_up(noise, 0.11 * x + d[:, 24:25], 0.2 * y + d[:, 25:26])
    u, v = 0.17 * x + 0.05 * bend + c[:, 30:31], 0.34 * y + 0.03 * bend + c[:, 31:32]
    broad = look_up(noise, u, v)
    # The wisps outrun what they belong to.
    fine = look_up(noise, 0.46 * x + 0.05 * bend - 0.1 * moved[0] * p + d[:, 26:27], 0.9 * y + d[:, 27:28])
    # They grow from where they are densest, and shrink to it.
    grown = smooth(0.0, 0.28, p) * smooth(1.0, 0.72, p)
    dense = smooth(0.0, 2.1, broad + 0.33 * fine - moved[1] + 0.2 - 2.6 * (1 - grown))
    # Light comes from above: their lower sides are in shadow, which is all that shows on a white sky.
    lower = look_up(noise, u, v + 0.034)
    lit = (0.5 + 0.9 * (broad - lower)).clamp(0, 1) * 0.75 + 0.25 * (1 - dense)
    shade = (1 - lit) * smooth(0.1, 0.8, dense)
    light = 0.299 * tint[:, 0:1] + 0.587 * tint[:, 1:2] + 0.114 * tint[:, 2:3]
    bright = (0.08 + 1.5 * light).clamp(max=0.985) * (1 + 0.45 * (tint - light))
    dark = tint * (0.93 - 0.16 * smooth(0.55, 0.95, light))
    cover = 0.95 * dense * there * (0.3 + 0.7 * smooth(0.0, 0.35, height)) * smooth(0.0, 0.15, grown)
    return torch.cat([cover, cover * (bright + (dark - bright) * shade)], 1)


@torch.jit.script_if_tracing
def overcast(
    frame: Tensor,
    grid: Tensor,
    sky: Tensor,
    noise: Tensor,
    p: Tensor,
    moved: Tensor,
    course: Tensor,
    details: Tensor,
) -> Tensor:
    """frame (1, 3, H, W) in 0 … 1 with clouds; grid (1, H, W, 2) as local.look takes it, sky from `sky`,
    noise from air.make_noise, p (1,), moved from `drift`.
    """
    if bool(moved[0] == 0):
        out = frame
    else:
        field = _field(sky, noise, p, moved, course, details)
        half = F.avg_pool2d(grid.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        here = F.grid_sample(field, half, mode="bilinear", padding_mode="border", align_corners=False)
        here = F.interpolate(here, scale_factor=2.0, mode="bilinear", align_corners=False)
        out = (frame * (1 - here[:, :1]) + here[:, 1:]).clamp(0, 1)
    return out
