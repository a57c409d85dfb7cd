"""The masks against those drawn by hand on the photographs of tests/fixtures/masks."""

import pytest
import torch
from torch import Tensor

import hand_masks
import masks

PHOTOS = {photo.name: photo for photo in hand_masks.photos()}
# Found wrong, and known.
MISSED = {
    ("komodo-dragon", "waves"),
    ("grace-hopper", "clouds"),
}


@pytest.fixture(scope="module")
def net() -> masks.Masks:
    return masks.load()


def test_the_photographs_are_enough() -> None:
    assert [sum(photo.group == group for photo in PHOTOS.values()) for group in (1, 2, 3, 4)] == [
        12,
        6,
        9,
        11,
    ]
    for i in range(3):
        assert sum(float(photo.drawn[:, i].mean()) > 0.1 for photo in PHOTOS.values()) >= 3


@pytest.mark.parametrize("photo", PHOTOS.values(), ids=PHOTOS.keys())
def test_what_fits_moves_where_it_was_drawn(photo: hand_masks.Photo, net: masks.Masks) -> None:
    for result in hand_masks.measure(photo, net):
        if result.fits:
            # Of a sky without a cloud only the displacement says anything, of dark water only the change.
            inside = max(result.energy_inside, result.way_inside) >= 0.8
            assert inside != ((photo.name, result.kind) in MISSED), result
            # No edge that was drawn by hand is bent by more than half a pixel.
            assert result.bent < 0.5, result


def test_nothing_fits_where_nothing_could_move(net: masks.Masks) -> None:
    for name in ("cat", "coffee", "astronaut", "abstract-spiral"):
        assert not masks.fits(net(PHOTOS[name].picture)).any(), name


def test_the_plain_cases_fit(net: masks.Masks) -> None:
    for name, kind in (
        ("ocean-waves", 0),
        ("lake-sherburne", 0),
        ("blue-periwinkle", 1),
        ("raccoon", 1),
        ("extreme-desert-hike", 2),
        ("canyon-wren", 2),
        ("singaporean-cityscape", 0),
        ("perched-osprey", 1),
        ("tea-gardens", 2),
        ("oakland-zoo-otters", 0),
        ("roman-colosseum", 2),
        ("rocket", 2),
        ("vents-du-sud", 0),
        ("bekes-dam", 0),
        ("kitten-on-lawn", 1),
        ("serene", 1),
        ("taipei-city", 2),
    ):
        assert masks.fits(net(PHOTOS[name].picture))[0, kind], name


def test_the_sky_ends_at_the_level_of_the_water() -> None:
    # Haze hides the horizon at row 40 in the left third, and the water mirrors the sky at the lower right.
    sky, water = rows((0, 40)), rows((40, 100))
    sky[:, :, :44, :20], water[:, :, :44, :20] = 1, 0
    sky[:, :, 80:, 50:], water[:, :, 80:, 50:] = 1, 0
    assert torch.equal(sky * masks._over(water, sky, sky), rows((0, 40)))


def test_a_sky_that_is_sure_stays_beside_a_wave_and_in_a_tilted_picture() -> None:
    row, column = torch.arange(100)[:, None], torch.arange(60)
    wave = torch.where((column >= 20) & (column < 40), 20, 50)
    for horizon in (wave, 30 + column // 2):
        sky = (row < horizon).float()[None, None]
        ends = (sky * masks._over(1 - sky, sky, sky)).sum(2)[0, 0]
        assert (ends >= horizon - 100 * masks.MENDED).all() and (ends <= horizon).all()


def test_water_that_is_seen_in_the_sky_ends_no_sky() -> None:
    sky, water = rows((0, 50)), rows((50, 100))
    sky[:, :, 5:15, 10:40], water[:, :, 5:15, 10:40] = 0, 1
    assert torch.equal(sky * masks._over(water, sky, sky), sky)


def test_without_water_all_sky_stays() -> None:
    assert masks._over(rows((0, 0)), rows((0, 40)), rows((0, 40))).all()


# Of a picture of 100 rows: sky, hills down to the lake, then shore. A person paints from one row to another.
SKY, LAKE = (0, 40), (50, 80)


@pytest.mark.parametrize(
    ("paint", "asked", "moves"),
    [
        # Two kinds, each in its own part: of all, of more of the one, of a little of both.
        ((0, 100), "waves clouds", {"waves": LAKE, "clouds": SKY}),
        ((25, 100), "waves clouds", {"waves": LAKE, "clouds": (25, 40)}),
        ((33, 58), "waves clouds", {"waves": (50, 58), "clouds": (33, 40)}),
        # All but a little is painted: what is not water stays still.
        ((10, 100), "waves", {"waves": LAKE}),
        ((0, 62), "waves", {"waves": (50, 62)}),
        # What is not found moves as a whole, but for what is of another kind that moves.
        ((84, 98), "sway", {"sway": (84, 98)}),
        ((20, 48), "sway", {"sway": (20, 48)}),
        ((20, 51), "waves", {"waves": (20, 51)}),
        ((20, 60), "sway clouds", {"sway": (40, 60), "clouds": (20, 40)}),
        # Nothing, or next to nothing, of the paint is left for waves.
        ((10, 40), "waves clouds", {"clouds": (10, 40)}),
        ((10, 42), "waves clouds", {"clouds": (10, 40)}),
    ],
)
def test_what_of_the_paint_moves(
    paint: tuple[int, int], asked: str, moves: dict[str, tuple[int, int]]
) -> None:
    kinds = ("waves", "sway", "clouds")
    found = torch.cat([rows(LAKE), rows((0, 0)), rows(SKY)], 1)
    wanted = torch.tensor([float(kind in asked.split()) for kind in kinds])
    chosen, fit = masks.painted(found, rows(paint), wanted)
    for i, kind in enumerate(kinds):
        if wanted[i]:
            assert bool(fit[0, i]) == (kind in moves), kind
        if wanted[i] and kind in moves:
            assert torch.equal(chosen[:, i : i + 1], rows(moves[kind])), kind


def rows(span: tuple[int, int]) -> Tensor:
    out = torch.zeros(1, 1, 100, 60)
    out[:, :, span[0] : span[1]] = 1
    return out


def test_without_paint_the_masks_stay_as_found() -> None:
    found = torch.cat([rows(LAKE), rows((0, 5)), rows(SKY)], 1)
    chosen, fit = masks.painted(found, torch.zeros(1, 1, 1, 1), torch.ones(3))
    assert torch.equal(chosen, found)
    assert fit.tolist() == [[1, 0, 1]]
