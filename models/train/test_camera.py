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
    asked: dict[str, int],
    course: Tensor,
    frames: int = 49,
    focus: Tensor = CENTRE,
    half: tuple[Tensor, Tensor] = (AX, AY),
    seen: tuple[Tensor, Tensor] = (AX, AY),
) -> tuple[Tensor, ...]:
    return camera.camera(
        one_hot(asked), torch.ones(1), torch.linspace(0, 1, frames)[None], half, seen, course, focus
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


LONG, ROUND = torch.tensor(4.0), torch.tensor(16 / 9)


def panned(asked: dict[str, int], course: Tensor) -> Tensor:
    """Where the frames are along a picture of 4:1, from 0 at its start to 1 at its end (F,)."""
    m, cx, _, _ = run(asked, course, half=(LONG, AY), seen=(ROUND, AY))
    assert float((cx.abs() + ROUND / m).max()) <= LONG + 1e-4
    return ((cx[0] - ROUND / m[0] + LONG) / (2 * (LONG - ROUND))).clamp(-1e-3, 1 + 1e-3)


def test_a_pan_passes_along_all_of_a_panorama() -> None:
    for course in courses(5):
        for speed in (2, 3):
            right = panned({"pan-right": speed}, course)
            assert float(right[0]) == pytest.approx(0, abs=1e-4)
            assert float(right[-1]) == pytest.approx(1, abs=1e-4)
            assert float(right.diff().min()) >= 0
        left = panned({"pan-left": 2}, course)
        assert (float(left[0]), float(left[-1])) == pytest.approx((1, 0), abs=1e-4)
        back = panned({"pan-left": 2, "pan-right": 2}, course)
        assert (float(back[0]), float(back[24]), float(back[-1])) == pytest.approx((1, 0, 1), abs=1e-4)
        # A fast one has passed more of it at half time.
        assert float(panned({"pan-right": 3}, course)[24]) > float(panned({"pan-right": 2}, course)[24]) + 0.1


def test_a_slow_pan_passes_a_part_of_a_panorama_that_the_seed_chooses() -> None:
    starts = []
    for course in courses(20):
        way = panned({"pan-right": 1}, course)
        assert float(way[-1] - way[0]) == pytest.approx(0.6, abs=1e-4)
        starts.append(float(way[0]))
    assert min(starts) < 0.1
    assert max(starts) > 0.3


def test_along_a_panorama_nothing_is_enlarged_and_other_moves_stay_inside() -> None:
    for course in courses(20):
        m, _, cy, _ = run({"pan-right": 2}, course, half=(LONG, AY), seen=(ROUND, AY))
        assert float(m.max()) < 1 + 1e-5
        assert float(cy.abs().max()) < 1e-6
        focus = course[:, 8:10] * 2 - 1
        for asked in ({"pan-left": 3, "zoom-in": 3}, {"pan-right": 1, "zoom-out": 2, "rotate-cw": 3}):
            m, cx, cy, angle = run(asked, course, focus=focus, half=(LONG, AY), seen=(ROUND, AY))
            cos, sin = angle.cos().abs(), angle.sin().abs()
            assert float((cx.abs() + (ROUND * cos + AY * sin) / m).max()) <= LONG + 1e-4
            assert float((cy.abs() + (ROUND * sin + AY * cos) / m).max()) <= AY + 1e-4


def test_a_tilt_passes_along_a_tall_picture() -> None:
    (course,) = courses(1)
    m, cx, cy, _ = run({"tilt-down": 2}, course, half=(AY, LONG), seen=(AY, ROUND))
    assert float(cy[0, 0]) == pytest.approx(float(ROUND - LONG))
    assert float(cy[0, -1]) == pytest.approx(float(LONG - ROUND))
    assert float(m.max()) < 1 + 1e-5
    assert float(cx.abs().max()) < 1e-6


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
        x, y = salience.focus(salience.places(picture), course)[0].tolist()
        hits += abs(x - 0.5) < 0.2 and abs(y + 0.25) < 0.25
    assert hits >= 15
