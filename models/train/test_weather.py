"""Weather over pictures: what it promises to the graph and to whoever looks at it."""

import io
import itertools
import warnings

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import salience
from graphs import OPSET
from kinds import INDEX, KINDS
from weather import Weather

DRAWN = KINDS[INDEX["snow"] : INDEX["dusk"] + 1]
NAMES = ["picture", "one_hot", "p", "course", "details"]


class Clip(nn.Module):
    """A still picture with weather, as unet_cond draws it."""

    def __init__(self) -> None:
        super().__init__()
        self.weather = Weather()

    def forward(self, picture: Tensor, one_hot: Tensor, p: Tensor, course: Tensor, details: Tensor) -> Tensor:
        n = p.shape[0]
        height, width = (torch.as_tensor(side).to(p.dtype) for side in picture.shape[2:])
        half = torch.stack([width, height]) / torch.minimum(width, height)
        source = (salience.places(picture)[0][:, 0] * half).expand(n, -1)
        return self.weather(
            picture.expand(n, -1, -1, -1),
            one_hot.expand(n, -1, -1),
            p,
            course.expand(n, -1),
            details.expand(n, -1),
            picture,
            source,
            p,
        )


CLIP = Clip().eval()


def picture(height: int, width: int) -> Tensor:
    """Soft blobs of every brightness: (1, 3, H, W)."""
    small = torch.rand(1, 3, height // 16, width // 16, generator=torch.Generator().manual_seed(2))
    return F.interpolate(small, size=(height, width), mode="bicubic").clamp(0, 1)


def feed(
    asked: dict[str, int], frames: Tensor, height: int = 128, width: int = 192, seed: int = 1
) -> tuple[Tensor, ...]:
    classes = torch.zeros(len(KINDS), dtype=torch.long)
    for kind, speed in asked.items():
        classes[INDEX[kind]] = speed
    draws = torch.rand(1, 64, generator=torch.Generator().manual_seed(seed))
    return (
        picture(height, width),
        F.one_hot(classes, 4).float()[None],
        frames,
        draws[:, :32],
        draws[:, 32:],
    )


@torch.no_grad()
def clip(asked: dict[str, int], frames: Tensor, seed: int = 1) -> Tensor:
    return CLIP(*feed(asked, frames, seed=seed))


@pytest.fixture(scope="module")
def graph() -> ort.InferenceSession:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            CLIP,
            feed({}, torch.linspace(0, 1, 3), 64, 96),
            buffer,
            input_names=NAMES,
            output_names=["frames"],
            dynamic_axes={"picture": {2: "H", 3: "W"}, "p": {0: "F"}, "frames": {0: "F", 2: "H", 3: "W"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return ort.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("kind", DRAWN)
def test_the_graph_draws_what_pytorch_draws(graph: ort.InferenceSession, kind: str) -> None:
    for speed, (height, width) in ((1, (128, 192)), (3, (160, 112))):
        inputs = feed({kind: speed, "wind-left": 1}, torch.tensor([0.0, 0.31, 0.77]), height, width)
        with torch.no_grad():
            expected = CLIP(*inputs).numpy()
        (got,) = graph.run(None, {n: x.numpy() for n, x in zip(NAMES, inputs, strict=True)})
        assert got.shape == (3, 3, height, width)
        assert float(np.abs(got - expected).max()) < 1e-4


def test_nothing_asked_for_changes_nothing(graph: ort.InferenceSession) -> None:
    inputs = feed({"zoom-in": 2, "wind-left": 3}, torch.linspace(0, 1, 2))
    (got,) = graph.run(None, {n: x.numpy() for n, x in zip(NAMES, inputs, strict=True)})
    for frame in got:
        assert np.array_equal(frame, inputs[0][0].numpy())


@pytest.mark.parametrize("kind", [kind for kind in DRAWN if kind != "dusk"])
def test_the_last_frame_is_the_first_one_again(kind: str) -> None:
    for speed in (1, 2, 3):
        frames = clip({kind: speed, "wind-right": 1}, torch.tensor([0.0, 0.4, 1.0]))
        assert float((frames[0] - frames[2]).abs().max()) < 2e-3
        # Lightning may strike at any moment but these two.
        assert kind == "lightning" or float((frames[0] - frames[1]).abs().max()) > 0.02


@pytest.mark.parametrize("kind", DRAWN)
def test_another_seed_is_another_clip(kind: str) -> None:
    p = torch.linspace(0, 1, 13)
    clips = [clip({kind: 2}, p, seed) for seed in (1, 2, 3)]
    for a, b in itertools.combinations(clips, 2):
        assert float((a - b).square().mean()) > 4e-4


def test_details_alone_change_dusk_a_little() -> None:
    p = torch.linspace(0, 1, 9)[1:]
    still, classes, _, course, details = feed({"dusk": 2}, p)
    _, _, _, other, others = feed({"dusk": 2}, p, seed=2)
    with torch.no_grad():
        clips = [
            CLIP(still, classes, p, c, d) for c, d in ((course, details), (course, others), (other, others))
        ]
    subtle, strong = (float((clip - clips[0]).square().mean()) for clip in clips[1:])
    assert 3e-4 < subtle < strong
    assert all(float(clip[-1].mean() / still.mean()) < 0.7 for clip in clips)


def test_steam_rises_from_what_stands_out() -> None:
    grey = torch.full((1, 3, 128, 192), 0.4)
    grey[:, 0, 72:96, 112:136] = 0.9
    for seed in (1, 2, 3):
        _, *others = feed({"steam": 2}, torch.linspace(0, 1, 7)[:-1], seed=seed)
        with torch.no_grad():
            change = (CLIP(grey, *others) - grey).abs().mean((0, 1))
        x, y = torch.arange(192), torch.arange(128)
        across = float((change.sum(0) * x).sum() / change.sum())
        # From the square upwards, over and beside it but not below.
        assert abs(across - 124) < 30
        assert float(change[100:].sum()) < 0.06 * float(change.sum())
        assert float((change.sum(1) * y).sum() / change.sum()) < 72


def shift(first: Tensor, second: Tensor) -> tuple[int, int]:
    """By how many pixels (down, right) what differs from the grey picture has moved between two frames."""
    a, b = (frame.sum(0) - frame.sum(0).median() for frame in (first, second))
    same = torch.fft.irfft2(torch.fft.rfft2(b) * torch.fft.rfft2(a).conj(), s=tuple(a.shape))
    at = int(same.argmax())
    down, right = at // same.shape[1], at % same.shape[1]
    height, width = same.shape
    return (down + height // 2) % height - height // 2, (right + width // 2) % width - width // 2


@pytest.mark.parametrize("kind", ["snow", "petals", "embers", "bubbles"])
def test_the_wind_blows_where_it_is_said_to(kind: str) -> None:
    down = -1 if kind in ("embers", "bubbles") else 1
    for seed in (1, 2):
        moved = {}
        for wind in ("wind-left", "wind-right"):
            grey = torch.full((1, 3, 256, 384), 0.25)
            p = torch.tensor([0.5, 0.508])
            _, *others = feed({kind: 3, wind: 3}, p, seed=seed)
            with torch.no_grad():
                frames = CLIP(grey, *others)
            moved[wind] = shift(frames[0], frames[1])
        for y, _ in moved.values():
            assert y * down > 0
        assert moved["wind-left"][1] < 0 < moved["wind-right"][1]


def test_stronger_weather_shows_more() -> None:
    for kind in ("snow", "rain", "fog", "embers", "bokeh", "steam"):
        p = torch.linspace(0, 1, 7)[:-1]
        still = picture(128, 192)
        amounts = [float((clip({kind: speed}, p) - still).abs().mean()) for speed in (1, 2, 3)]
        assert amounts[0] < amounts[1] < amounts[2]
