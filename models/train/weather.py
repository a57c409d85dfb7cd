"""Weather and light of the second edition over the frames of one clip: kinds 12 to 26, steered by 27 and 28.

`draw` is traced into unet_cond; height, width and frame count stay free. What is absent costs next to
nothing. All but dusk, which ends where it ends, are the same at p = 0 and p = 1.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import air
import falling
import glowing
import lightning
from kinds import INDEX, LEVELS
from particles import make_table, traits

Drawing = tuple[Tensor, Tensor]
Layer = tuple[float, ...]


def _table(base: tuple[Layer, ...], factors: dict[int, tuple[float, float, float]]) -> Tensor:
    """Numbers of three layers by class (4, 3, numbers). factors: by column, of slow, normal and fast."""
    normal = torch.tensor(base)
    rows = [torch.zeros_like(normal)]
    for speed in range(3):
        row = normal.clone()
        for column, by_speed in factors.items():
            row[:, column] *= by_speed[speed]
        row[:, 0] = row[:, 0].round()
        rows.append(row)
    return torch.stack(rows)


# Layers from back to front. The columns are those of the layer's function.
SNOW = _table(
    (
        (420, 0.0024, 0.0042, 0.42, 0.020, 0.6, 0.85),
        (170, 0.0045, 0.0085, 0.78, 0.035, 0.8, 0.92),
        (34, 0.0120, 0.0270, 1.45, 0.060, 1.5, 0.62),
    ),
    {0: (0.45, 1, 2.0), 3: (0.6, 1, 1.7)},
)
RAIN = _table(
    ((360, 0.06, 0.0020, 4, 0.40), (200, 0.12, 0.0032, 6, 0.52), (46, 0.26, 0.0056, 9, 0.48)),
    {0: (0.45, 1, 1.7), 1: (0.7, 1, 1.3), 3: (0.75, 1, 1.5), 4: (0.85, 1, 1.1)},
)
RAIN[:, :, 3] = RAIN[:, :, 3].round()
LEAVES = _table(
    (
        (16, 0.012, 0.019, 1, 2, 0.05, 0.05, 0.95),
        (11, 0.024, 0.036, 1, 1, 0.09, 0.02, 1.0),
        (5, 0.060, 0.085, 1, 1, 0.14, 0.10, 0.97),
    ),
    {0: (0.5, 1, 2)},
)
PETALS = _table(
    (
        (30, 0.010, 0.015, 1, 2, 0.05, 0.05, 0.95),
        (26, 0.018, 0.027, 1, 1, 0.09, 0.02, 1.0),
        (9, 0.040, 0.060, 1, 1, 0.14, 0.12, 0.95),
    ),
    {0: (0.5, 1, 1.9)},
)
for _falling in (LEAVES, PETALS):
    # Slow ones need three clips for their way and fast ones half a clip.
    _falling[1, :, 4] = 3
    _falling[1, :, 0] = (_falling[1, :, 0] / torch.tensor([1.5, 3, 3])).round().clamp(min=1)
    _falling[3, :, 3] = torch.tensor([1.0, 2.0, 2.0])
    _falling[3, :, 4] = 1
EMBERS = _table(
    (
        (220, 0.0017, 0.0026, 0.60, 4.6, 1, 1.0),
        (100, 0.0028, 0.0045, 0.95, 4.8, 1, 1.0),
        (24, 0.0060, 0.0095, 1.40, 4.2, 1, 1.0),
    ),
    {0: (0.45, 1, 1.8), 3: (0.7, 1, 1.1)},
)
EMBERS[3, :, 5] = 2
FIREFLIES = _table(
    (
        (44, 0.0028, 0.0040, 0.06, 8.0, 3, 0.9),
        (28, 0.0044, 0.0062, 0.10, 8.0, 3, 1.0),
        (12, 0.0080, 0.0115, 0.16, 7.0, 2, 1.0),
    ),
    {0: (0.45, 1, 1.7), 3: (0.6, 1, 1.5)},
)
DUST = _table(
    (
        (380, 0.0019, 0.0032, 0.10, 0.8, 0.9),
        (200, 0.0034, 0.0058, 0.17, 1.0, 0.9),
        (56, 0.0100, 0.0210, 0.32, 1.2, 0.5),
    ),
    {0: (0.45, 1, 1.7), 3: (0.6, 1, 1.7)},
)
BOKEH = _table(
    ((20, 0.024, 0.038, 0.02, 0.80), (13, 0.046, 0.072, 0.04, 0.72), (7, 0.080, 0.110, 0.07, 0.60)),
    {0: (0.6, 1, 1.5), 3: (0.6, 1, 1.6)},
)
BUBBLES = _table(
    ((30, 0.009, 0.016, 0.35, 1.0), (18, 0.022, 0.036, 0.6, 1.0), (7, 0.050, 0.082, 0.95, 1.0)),
    {0: (0.5, 1, 1.7), 3: (0.6, 1, 1.6)},
)
# Density or strength by class.
FOG = (0.0, 0.55, 1.0, 1.9)
STEAM = (0.0, 1.1, 1.9, 3.0)
RAYS = (0.0, 0.34, 0.50, 0.72)
FLICKER = (0.0, 0.17, 0.27, 0.40)
FLICKER_TURNS = (1.0, 2.0, 3.0, 4.0)
LIGHTNING = (0.0, 0.65, 1.0, 1.2)
STRIKES = (1.0, 1.0, 2.0, 3.0)
DUSK = (0.0, 0.55, 0.80, 1.05)
RAIN_GREY = (0.0, 0.10, 0.22, 0.34)

LEAF_COLOURS = (
    (0.82, 0.40, 0.09),
    (0.90, 0.62, 0.14),
    (0.66, 0.17, 0.08),
    (0.74, 0.50, 0.20),
    (0.50, 0.29, 0.12),
    (0.60, 0.56, 0.18),
)
PETAL_COLOURS = ((1.0, 0.74, 0.82), (1.0, 0.84, 0.89), (0.98, 0.58, 0.72), (1.0, 0.92, 0.94))
BOKEH_COLOURS = (
    ((1.0, 0.72, 0.30), (1.0, 0.86, 0.56), (1.0, 0.50, 0.28), (1.0, 0.66, 0.50)),
    ((0.55, 0.80, 1.0), (0.85, 0.93, 1.0), (0.70, 0.62, 1.0), (0.45, 0.95, 0.90)),
    ((1.0, 0.52, 0.66), (1.0, 0.78, 0.42), (0.62, 0.72, 1.0), (0.72, 1.0, 0.70)),
)


class Weather(nn.Module):
    """Draws kinds 12 to 26 over the frames of one clip."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", make_table(), persistent=False)
        self.register_buffer("noise", air.make_noise(), persistent=False)

    def forward(
        self,
        frames: Tensor,
        one_hot: Tensor,
        p: Tensor,
        course: Tensor,
        details: Tensor,
        picture: Tensor,
        source: Tensor,
        evening: Tensor,
    ) -> Tensor:
        """frames (N, 3, H, W) in 0 … 1, H and W multiples of 16; p (N,) in 0 … 1; picture (1, 3, H, W) in
        0 … 1 is the clip's; source (N, 2), in half short sides from the middle of the frame, is what steam
        rises from; evening (N,) in 0 … 1 is how far dusk has come. one_hot (N, 29, 4), course and
        details (N, 32) are those of one clip: their first row is read → (N, 3, H, W) in 0 … 1.
        """
        hot, course, details = one_hot[0], course[:1], details[:1]
        height = torch.as_tensor(frames.shape[2], device=frames.device).to(frames.dtype)
        width = torch.as_tensor(frames.shape[3], device=frames.device).to(frames.dtype)
        size = torch.stack([height, width, torch.minimum(height, width)])
        level = hot @ hot.new_tensor(LEVELS)
        wind = level[INDEX["wind-right"]] - level[INDEX["wind-left"]]
        graded = self._grade(frames, hot, p, course, details, picture, source, evening, size, wind)
        tone = picture.mean((0, 2, 3))
        return self._particles(graded, hot, p[:, None], course, details, size, tone, wind)

    def _grade(
        self,
        frames: Tensor,
        hot: Tensor,
        p: Tensor,
        course: Tensor,
        details: Tensor,
        picture: Tensor,
        source: Tensor,
        evening: Tensor,
        size: Tensor,
        wind: Tensor,
    ) -> Tensor:
        def by_class(kind: str, values: tuple[float, ...]) -> Tensor:
            return hot[INDEX[kind]] @ hot.new_tensor(values)

        ax, ay = size[1] / size[2], size[0] / size[2]
        x = _coarse(frames.shape[3], size[1], ax, p)[None, None, None, :]
        y = _coarse(frames.shape[2], size[0], ay, p)[None, None, :, None]
        tone, lit = _light(picture, ax)
        # Steam needs room above its source.
        low = (source[:, 1] / ay).clamp(-0.25, 0.85)
        source = torch.stack([source[:, 0], low * ay], 1)[:, :, None, None]
        p, evening = p[:, None, None, None], evening[:, None, None, None]
        leaning = wind + (1 - wind.abs()) * 0.5 * (course[0, 26] - 0.5)
        fog, steam, rays = by_class("fog", FOG), by_class("steam", STEAM), by_class("rays", RAYS)
        flicker, dusk = by_class("flicker", FLICKER), by_class("dusk", DUSK)
        storm, rain = by_class("lightning", LIGHTNING), by_class("rain", RAIN_GREY)
        field = air.dusk(evening, x, y, self.noise, course, details, dusk)
        for other in (
            lightning.storm(p, x, y, course, details, storm, by_class("lightning", STRIKES)),
            (1 - 0.55 * rain + 0 * p, 0.02 * rain + 0 * p),
            air.rays(p, x, y, self.noise, course, details, rays, wind, lit),
            air.steam(p, x, y, self.noise, course, details, steam, wind, source),
            air.fog(p, x, y, self.noise, course, details, fog, 1.6 * leaning, tone),
            air.flicker(frames, p, x, y, course, details, flicker, by_class("flicker", FLICKER_TURNS)),
        ):
            field = air.after(field, other)
        grey = 1.2 * rain + 0.25 * dusk * evening + 0.3 * storm * lightning.gathering(p)
        present = fog + steam + rays + flicker + dusk + storm + rain
        return air.apply(frames, grey, *field, present)

    def _particles(
        self,
        frames: Tensor,
        hot: Tensor,
        p: Tensor,
        course: Tensor,
        details: Tensor,
        size: Tensor,
        tone: Tensor,
        wind: Tensor,
    ) -> Tensor:
        # The tables are for pictures of 3:2; others have as many to the same area.
        area = (size[0] * size[1] / (1.5 * size[2] * size[2])).clamp(0.5, 3.0)

        def layers(kind: str, table: Tensor) -> Tensor:
            spec = torch.einsum("c,cln->ln", hot[INDEX[kind]], table.to(hot))
            return torch.cat([torch.ceil(spec[:, :1] * area), spec[:, 1:]], 1)

        # Calm air leans a little to a side of the seed's choosing.
        lean = (1 - wind.abs()) * (course[0, 26] - 0.5)
        # Outside the branches, which would each hold a copy of the table.
        crowd = traits(self.table, details)
        shared = (frames, p, size, crowd)
        leaves, petals, bokeh = (hot.new_tensor(c) for c in (LEAF_COLOURS, PETAL_COLOURS, BOKEH_COLOURS))
        # Leaves are lit as the picture is.
        shine = (0.35 + 1.1 * tone).clamp(0.4, 1.05)
        pale = (0.72 + 0.5 * tone).clamp(0.7, 1.0)
        which = (course[0, 27] * bokeh.shape[0]).to(torch.int64).clamp(0, bokeh.shape[0] - 1)
        storm = hot[INDEX["lightning"]]
        drawings = [
            glowing.bokeh(*shared, wind, layers("bokeh", BOKEH), bokeh[which]),
            glowing.dust(*shared, wind + 0.3 * lean, layers("dust", DUST)),
            falling.rain(*shared, 0.55 * wind + 0.16 * lean, layers("rain", RAIN)),
            falling.snow(*shared, 1.15 * wind + 0.4 * lean, layers("snow", SNOW)),
            falling.leaves(*shared, 1.1 * wind + 0.4 * lean, layers("leaves", LEAVES), leaves * shine),
            falling.petals(*shared, 1.2 * wind + 0.4 * lean, layers("petals", PETALS), petals * pale),
            glowing.embers(*shared, 1.1 * wind + 0.4 * lean, layers("embers", EMBERS)),
            glowing.fireflies(*shared, wind, layers("fireflies", FIREFLIES)),
            glowing.bubbles(*shared, 0.8 * wind + 0.3 * lean, layers("bubbles", BUBBLES)),
            lightning.bolt(
                frames,
                p,
                size,
                course,
                details,
                storm @ hot.new_tensor(LIGHTNING),
                storm @ hot.new_tensor(STRIKES),
            ),
        ]
        places = torch.cat([place for place, _ in drawings])
        added = torch.cat([light for _, light in drawings])
        return _add(frames, places, added)


def _coarse(count: int, pixels: Tensor, half: Tensor, like: Tensor) -> Tensor:
    """Centres of the coarse grid's cells along one side, in half short sides."""
    steps = torch.arange(count // air.COARSE).to(like.dtype)
    return ((2 * steps + 1) * (air.COARSE / pixels) - 1) * half


def _light(picture: Tensor, ax: Tensor) -> tuple[Tensor, Tensor]:
    """The picture's mean colour (1, 3, 1, 1) and how far to the right its upper half is bright
    (1, 1, 1, 1), in half short sides.
    """
    cells = F.avg_pool2d(picture, 16)
    light = 0.299 * cells[:, 0:1] + 0.587 * cells[:, 1:2] + 0.114 * cells[:, 2:3]
    columns = cells.shape[3]
    across = (2 * torch.arange(columns).to(picture.dtype) + 1) / columns - 1
    down = 1 - torch.arange(cells.shape[2]).to(picture.dtype) / cells.shape[2]
    weight = light * light * light * (down * down)[None, None, :, None]
    right = (weight * across).sum((2, 3), keepdim=True) / (weight.sum((2, 3), keepdim=True) + 1e-4)
    return cells.mean((2, 3), keepdim=True), right * ax


@torch.jit.script_if_tracing
def _add(frames: Tensor, places: Tensor, added: Tensor) -> Tensor:
    if places.shape[0] == 0:
        out = frames
    else:
        out = frames.reshape(-1).scatter_add(0, places, added).reshape(frames.shape).clamp(0, 1)
    return out
