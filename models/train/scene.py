"""unet_cond: reads what was asked for, and draws every frame of the clip.

Prepare is what all frames share, and runs once; Frame draws one, so that a clip of any length takes the
memory of one frame beside its latents. export.py puts both into one graph; Scene is the same in PyTorch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import camera
import clouds
import dct
import local
import masks
import salience
import weather
from kinds import INDEX, KINDS, LEVELS
from words_nets import classes_of

EMBED = 128  # of image_embeds and context; the words have their own
DRAWS = 64
# Column of context's second row from which on it says what was asked for.
ASKED = 64
# Without one of these, only the wind blows, and a wind alone moves nothing.
WIND = ("wind-left", "wind-right")
# Kinds that need a part of the picture, in the order of the masks: water, foliage, sky.
PLACED = ("waves", "sway", "clouds")

NO_MASKS = (1, 3, 32, 32)

# What all frames share, in the order of Prepare's results and of Frame's arguments.
SHARED = (
    "picture",
    "size",
    "cycles",
    "factors",
    "way",
    "second",
    "sky",
    "drift",
    "hot",
    "course",
    "details",
    "first",
)


def fps_gain(fps: Tensor) -> Tensor:
    """targetFps (float) → factor of every amplitude."""
    return torch.exp((16 - fps.clamp(4, 32)) * (math.log(2) / 16))


def fps_features(fps: Tensor) -> Tensor:
    """targetFps (n,) → (n, 64). unet_core takes them and needs none."""
    angle = fps[:, None] * torch.exp(-torch.arange(32) / 32 * 5.0)
    return torch.cat([angle.cos(), angle.sin()], 1)


class Found(nn.Module):
    """The masks of `find` where anything needs them; else empty ones, whose size costs nothing."""

    def __init__(self, find: nn.Module) -> None:
        super().__init__()
        self.find = find

    def forward(self, picture: Tensor, needed: Tensor) -> Tensor:
        """picture (1, 3, H, W) in -1 … 1, needed () → (1, 3, h, w)."""
        found: Tensor = self.find(picture) if bool(needed) else torch.zeros(NO_MASKS)
        return found


class Prepare(nn.Module):
    """What all frames share.

    `head` (n, T, 128) → logits (n, 29, 4); `find` a picture (1, 3, H, W) in -1 … 1 → masks (1, 3, h, w).
    """

    def __init__(self, head: nn.Module, find: nn.Module) -> None:
        super().__init__()
        self.head, self.found = head, Found(find)
        self.decoder = dct.Decoder()
        self.register_buffer("classes", torch.eye(4), persistent=False)
        self.register_buffer("levels", torch.tensor(LEVELS), persistent=False)
        push_in = torch.zeros(1, len(KINDS), 4)
        push_in[:, :, 0] = 1
        self.register_buffer("absent", push_in.clone(), persistent=False)
        push_in[:, INDEX["zoom-in"]] = torch.eye(4)[1]
        self.register_buffer("push_in", push_in, persistent=False)
        places = torch.zeros(len(PLACED), len(KINDS))
        for i, kind in enumerate(PLACED):
            places[i, INDEX[kind]] = 1
        self.register_buffer("places", places, persistent=False)
        moving = torch.ones(len(KINDS))
        for kind in WIND:
            moving[INDEX[kind]] = 0
        self.register_buffer("moving", moving, persistent=False)

    def asked(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded prompts (B, T, width) → one-hot classes of the prompt (1, 29, 4), and 1 for each kind that
        the first of two rows, the negative prompt, names (1, 29, 1).
        """
        hot = self.classes[classes_of(self.head(words))]
        guided = (torch.as_tensor(words.shape[0]) > 1).to(words.dtype)
        return hot[-1:], (1 - hot[:1, :, :1]) * guided

    def done(self, asked: Tensor, unwanted: Tensor, fitting: Tensor) -> Tensor:
        """What the clip shows: what was asked for without what is unwanted or does not fit the picture; if
        then nothing moves, a gentle push-in, beside the wind.
        """
        out = torch.maximum(unwanted, ((1 - fitting) @ self.places)[:, :, None])
        hot = out * self.absent + (1 - out) * asked
        present = (1 - hot[:, :, 0]) * self.moving
        nothing = (present.sum(1) == 0).to(hot.dtype)[:, None, None]
        pushed = (1 - self.push_in[:, :, :1]) * nothing
        return pushed * self.push_in + (1 - pushed) * hot

    def forward(
        self,
        fps: Tensor,
        image_latents: Tensor,
        image_embeddings: Tensor,
        frame_positions: Tensor,
        encoder_hidden_states: Tensor,
        draws: Tensor,
        frame_size: Tensor,
        frame_views: Tensor,
        motion_mask: Tensor,
    ) -> tuple[Tensor, ...]:
        """motion_mask (1, 1, a, b), 0 … 1: what of the picture may move, of any size; zeros for nothing said.
        frame_size (2,): height and width of the frames, at most those of the picture, in pixels.
        frame_views (F, 4): m, cx, cy and angle of each frame; of one whose m is 0, the clip's own.

        → fps_emb (1, 64), context (B, 2, 128), camera_path (33, 4): the clip's own views at 0, 1/32 … 1, the
        view and position of each frame (F, 5), SHARED.
        """
        picture = self.decoder(image_latents[:, :, 0])
        asked, unwanted = self.asked(encoder_hidden_states)
        placed = self.places @ (1 - asked[0, :, 0])
        places, fitting = masks.painted(self.found(picture, placed.sum() > 0), motion_mask, placed)
        hot = self.done(asked, unwanted, fitting)
        rate = fps.to(picture.dtype)
        gain = fps_gain(rate)
        course, details = draws[:, : DRAWS // 2], draws[:, DRAWS // 2 :]
        height, width = (torch.as_tensor(n).to(picture.dtype) for n in picture.shape[2:])
        short = torch.minimum(height, width)
        standing_out = salience.places(picture * 0.5 + 0.5)
        focus = salience.focus(standing_out, course)
        seen = frame_size.to(picture.dtype) / short
        half = (width / short, height / short)

        def views(p: Tensor) -> Tensor:
            path = camera.camera(hot, gain, p[None], half, (seen[1], seen[0]), course, focus)
            return torch.cat([numbers.reshape(-1, 1) for numbers in path], 1)

        evenly = torch.linspace(0, 1, camera.SAMPLES, dtype=picture.dtype)
        both = views(torch.cat([evenly, frame_positions]))
        whole, own = both[: camera.SAMPLES], both[camera.SAMPLES :]
        given = torch.where(frame_views[:, :1] > 0, frame_views, own)
        frames = torch.cat([given, frame_positions[:, None]], 1)
        moving = local.maps(places, hot, gain, course, details)
        done, wanted = hot @ self.levels, asked @ self.levels
        rest = image_embeddings.new_zeros(1, ASKED - len(KINDS))
        row = torch.cat([done, rest, wanted, rest], 1)[:, None]
        context = torch.cat([image_embeddings, row.expand(image_embeddings.shape[0], -1, -1)], 1)
        drift = clouds.drift(hot, gain, course)
        sky = clouds.sky(picture * 0.5 + 0.5, places[:, 2:], drift)
        shared = (picture, frame_size, *moving, sky, drift, hot, course, details, standing_out[0][:, 0])
        return fps_features(rate), context, whole, frames, *shared


@torch.jit.script_if_tracing
def _centres(count: Tensor) -> Tensor:
    """Of a row of pixels, in half pixels from its middle: (count,)."""
    return 2 * torch.arange(int(count)) + 1 - count


class Frame(nn.Module):
    """One frame as latents."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.weather = dct.Encoder(), weather.Weather()

    def forward(
        self,
        place: Tensor,
        picture: Tensor,
        size: Tensor,
        cycles: Tensor,
        factors: Tensor,
        way: Tensor,
        second: Tensor,
        sky: Tensor,
        drift: Tensor,
        hot: Tensor,
        course: Tensor,
        details: Tensor,
        first: Tensor,
    ) -> Tensor:
        """place (5,): m, cx, cy, angle and position, which is 0 … 1, and 1 … 2 in a clip that goes on from
        the evening of an earlier one; the others as Prepare gives them → (32, h, w).

        first (1, 2): the place that stands out most, in -1 … 1 of the picture.
        """
        m, cx, cy, angle = place[0], place[1], place[2], place[3]
        evening = place[4:5].clamp(max=1)
        p = place[4:5] - (place[4:5] > 1).to(place.dtype)
        height, width = (torch.as_tensor(n).to(place.dtype) for n in picture.shape[2:])
        short = torch.minimum(height, width)
        ax, ay = width / short, height / short
        xs = _centres(size[1]).to(place.dtype) / short
        ys = _centres(size[0]).to(place.dtype) / short
        cos, sin = angle.cos() / m, angle.sin() / m
        u = (cos * xs)[None, None] + ((sin * ys)[None, :, None] + cx)
        v = (cos * ys)[None, :, None] + cy - (sin * xs)[None, None]
        grid = torch.stack([u / ax, v / ay], -1)
        field = local.field((cycles, factors, way, second), p)
        frame = local.look(picture, grid, field) * 0.5 + 0.5
        frame = clouds.overcast(frame, grid, sky, self.weather.noise, p, drift, course, details)
        # What rises stays with the thing that it rises from.
        x, y = first[:, 0] * ax - cx, first[:, 1] * ay - cy
        source = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], 1) * m
        frame = self.weather(frame, hot, p, course, details, picture * 0.5 + 0.5, source, evening)
        return self.encoder(frame * 2 - 1)[0]


class Scene(nn.Module):
    """Both, as unet_cond has them: → fps_emb, context, camera_path, image_latents_enc (1, 32, F, h, w)."""

    def __init__(self, prepare: Prepare, frame: Frame) -> None:
        super().__init__()
        self.prepare, self.frame = prepare, frame

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fps_emb, context, path, frames, *shared = self.prepare(*inputs)
        latents = torch.stack([self.frame(place, *shared) for place in frames], 1)
        return fps_emb, context, path, latents[None]


class ImageEncoder(nn.Module):
    """Picture (n, 3, 64, 64) → image_embeds (n, 128): mean and spread of 16 places. Nothing needs more."""

    def forward(self, pixels: Tensor) -> Tensor:
        mean = F.avg_pool2d(pixels, 16)
        spread = (F.avg_pool2d(pixels * pixels, 16) - mean * mean).clamp(min=0).sqrt()
        return F.pad(torch.cat([mean.flatten(1), spread.flatten(1)], 1), (0, EMBED - 96))
