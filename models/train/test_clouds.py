"""Clouds: in the sky alone, from the picture and back to it, with the wind, and the faster the further."""

import pytest
import torch
from torch import Tensor

import air
import clouds
import hand_masks
import local

HEIGHT, WIDTH = 192, 288


def drawn(speed: int, wind: int, *positions: float) -> Tensor:
    """Frames (F, 3, HEIGHT, WIDTH) of a plain blue picture whose upper two thirds are sky."""
    picture = torch.tensor([0.3, 0.5, 0.8])[None, :, None, None].repeat(1, 1, HEIGHT, WIDTH)
    mask = torch.zeros(1, 1, HEIGHT // 4, WIDTH // 4)
    mask[:, :, : HEIGHT // 6] = 1
    hot = hand_masks.asked(speed, local.CLOUDS, wind)
    course, details = hand_masks.draws(5)
    moved = clouds.drift(hot, torch.ones(1), course)
    seen = clouds.sky(picture, mask, moved)
    grid, noise = hand_masks.still(HEIGHT, WIDTH, 1), air.make_noise()
    frames = [
        clouds.overcast(picture, grid, seen, noise, torch.tensor([p]), moved, course, details)
        for p in positions
    ]
    return torch.cat(frames)


def test_they_are_seen_in_the_sky_and_nowhere_else() -> None:
    first, middle, last = drawn(2, local.WIND_RIGHT, 0.0, 0.5, 1.0)
    assert torch.equal(first, last)
    change = (middle - first).abs().amax(0)
    assert change[: HEIGHT // 2].mean() > 0.03
    assert change[HEIGHT * 2 // 3 + 4 :].max() == 0
    assert drawn(2, local.WIND_RIGHT, 0.0).std((0, 2, 3)).max() < 1e-6


def shift(before: Tensor, after: Tensor) -> int:
    """By how many pixels to the right the upper part of a frame moved, from the best match of both."""
    ways = range(-50, 51)
    upper = before[0, : HEIGHT // 4, 60:-60]
    moved = [torch.roll(after, -way, 2)[0, : HEIGHT // 4, 60:-60] for way in ways]
    return min(zip(ways, moved, strict=True), key=lambda pair: float((pair[1] - upper).square().mean()))[0]


@pytest.mark.parametrize(("wind", "sign"), [(local.WIND_LEFT, -1), (local.WIND_RIGHT, 1)])
def test_they_go_with_the_wind_the_faster_the_further(wind: int, sign: int) -> None:
    ways = [sign * shift(*drawn(speed, wind, 0.45, 0.55)) for speed in (1, 2, 3)]
    assert 0 < ways[0] < ways[1] < ways[2]
