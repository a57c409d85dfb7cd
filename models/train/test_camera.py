"""The camera of the second edition: it obeys, stays inside the picture, and the seed decides the rest."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import camera
import salience
from kinds import INDEX

AX, AY = torch.tensor(1.5), torch.tensor(1.0)
CENTRE = torch.zeros(1, 2)
CLIPS = [
    {"zoom-in": 1},
    {"zoom-out": 3},
    {"pan-left": 2},
    {"tilt-down": 3},
    {"rotate-ccw": 3},
    {"zoom-in": 3, "zoom-out": 3},
    {"zoom-in": 2, "pan-right": 3, "tilt-up": 1},
]


def one_hot(asked: dict[str, int]) -> Tensor:
    classes = torch.zeros(len(INDEX), dtype=torch.long)
    for kind, speed in asked.items():
        classes[INDEX[kind]] = speed
    return F.one_hot(classes, 4).float()[None]


def run(
    asked: dict[str, int], course: Tensor, frames: int = 49, focus: Tensor = CENTRE
) -> tuple[Tensor, ...]:
    return camera.camera(
        one_hot(asked), torch.ones(1), torch.linspace(0, 1, frames)[None], AX, AY, course, focus
    )


def courses(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.rand(1, 32, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("asked", CLIPS)
def test_no_frame_shows_what_lies_outside_the_picture(asked: dict[str, int]) -> None:
    for course in courses(20):
        focus = course[:, 8:10] * 2 - 1
        m, cx, cy, angle = run(asked, course, focus=focus)
        cos, sin = angle.cos().abs(), angle.sin().abs()
        assert float((cx.abs() + (AX * cos + AY * sin) / m).max()) <= AX + 1e-4
        assert float((cy.abs() + (AX * sin + AY * cos) / m).max()) <= AY + 1e-4


def test_a_clip_travels_as_far_as_its_speed_says() -> None:
    for course in courses(5):
        for speed, level in ((1, 0.35), (2, 0.65), (3, 1.0)):
            m = run({"zoom-in": speed}, course)[0]
            assert float(m[0, -1] / m[0, 0]) == pytest.approx(math.exp(0.36 * level), rel=1e-4)
            cx = run({"pan-left": speed}, course)[1]
            assert float(cx[0, 0] - cx[0, -1]) == pytest.approx(0.2 * 2 * 1.5 * level, abs=0.05)
            angle = run({"rotate-cw": speed}, course)[3]
            assert float(angle[0, -1]) == pytest.approx(math.radians(13) * level, rel=1e-4)


def test_the_camera_never_turns_back() -> None:
    p = torch.linspace(0, 1, 200)[None]
    for course in courses(50):
        way = camera.curve(p, course)
        assert float(way[0, 0]) == 0
        assert float(way[0, -1]) == pytest.approx(1, abs=1e-5)
        assert float(way.diff(dim=1).min()) >= 0


def test_static_stands_still_and_a_push_in_starts_with_the_whole_picture() -> None:
    (course,) = courses(1)
    m, cx, cy, angle = run({"static": 2}, course, focus=torch.tensor([[0.5, -0.4]]))
    assert torch.equal(m, torch.ones_like(m))
    assert float(cx.abs().max() + cy.abs().max() + angle.abs().max()) == 0
    m, cx, _, _ = run({"zoom-in": 1}, course, focus=torch.tensor([[0.5, -0.4]]))
    assert float(m[0, 0]) == pytest.approx(1)
    assert float(cx[0, 0]) == pytest.approx(0, abs=1e-6)
    assert float(cx[0, -1]) > 0.05


def test_two_seeds_take_different_ways() -> None:
    for first, second in itertools.pairwise(courses(6)):
        a, b = (run({"pan-left": 2}, course)[1] for course in (first, second))
        assert float((a - b).abs().max()) > 0.005


def test_the_focus_is_what_stands_out() -> None:
    picture = torch.full((1, 3, 128, 192), 0.4)
    picture[:, 0, 32:64, 128:160] = 1.0
    hits = 0
    for course in courses(20):
        course[:, 1:3] = 0.5
        x, y = salience.focus(picture, course)[0].tolist()
        hits += abs(x - 0.5) < 0.2 and abs(y + 0.25) < 0.25
    assert hits >= 15
