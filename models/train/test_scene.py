"""unet_cond of the second edition: what is done of what was asked for, and that its graph draws the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import dct
import export
import graphs
import masks
import scene
from kinds import INDEX, KINDS

CLASSES = {"slow": 1, "normal": 2, "fast": 3}


class Reader(nn.Module):
    """Words that say the classes themselves: (B, T, 29) → logits (B, 29, 4)."""

    def forward(self, words: Tensor) -> Tensor:
        return -10 * (words[:, 0, :, None] - torch.arange(4)).abs()


def words(*rows: dict[str, str]) -> Tensor:
    table = torch.zeros(len(rows), 2, len(KINDS))
    for row, asked in zip(table, rows, strict=True):
        for kind, speed in asked.items():
            row[:, INDEX[kind]] = CLASSES[speed]
    return table


@pytest.fixture(scope="module")
def whole() -> scene.Scene:
    return scene.Scene(scene.Prepare(Reader(), masks.load()), scene.Frame()).eval().requires_grad_(False)


def levels(context: Tensor, offset: int) -> dict[str, float]:
    row = context[-1, 1, offset : offset + len(KINDS)]
    return {KINDS[i]: round(float(row[i]), 2) for i in row.nonzero()[:, 0]}


def run(whole: scene.Scene, *rows: dict[str, str], frames: int = 2) -> tuple[Tensor, Tensor]:
    torch.manual_seed(4)
    _, context, _, latents = whole(*export.cond_inputs(words(*rows), frames, 16, 20).values())
    return context, latents


PUSH_IN = {"zoom-in": 0.35}


@pytest.mark.parametrize(
    ("asked", "done"),
    [
        ({}, PUSH_IN),
        ({"pan-left": "fast", "snow": "slow"}, {"pan-left": 1.0, "snow": 0.35}),
        ({"static": "normal"}, {"static": 0.65}),
        # A wind alone moves nothing, and the picture of these tests has no water.
        ({"wind-left": "fast"}, {**PUSH_IN, "wind-left": 1.0}),
        ({"waves": "normal"}, PUSH_IN),
        ({"waves": "normal", "zoom-out": "slow"}, {"zoom-out": 0.35}),
    ],
)
def test_what_is_done(whole: scene.Scene, asked: dict[str, str], done: dict[str, float]) -> None:
    context, _ = run(whole, asked)
    wanted = {"slow": 0.35, "normal": 0.65, "fast": 1.0}
    assert levels(context, 0) == done
    assert levels(context, scene.ASKED) == {kind: wanted[speed] for kind, speed in asked.items()}


def test_what_is_painted_moves_and_the_rest_stays(whole: scene.Scene) -> None:
    paint = torch.zeros(1, 1, 32, 40)
    paint[:, :, 8:28, 20:] = 1
    for kind in scene.PLACED:
        torch.manual_seed(4)
        inputs = export.cond_inputs(words({kind: "fast"}), 2, 16, 20)
        inputs["motion_mask"], inputs["frame_positions"] = paint, torch.tensor([0.0, 0.4])
        _, context, _, latents = whole(*inputs.values())
        assert levels(context, 0) == {kind: 1.0}
        change = (latents[:, :, 1] - latents[:, :, 0]).abs().amax((0, 1))
        assert float(change[4:14, 10:].max()) > 0.02
        assert float(change[:, :8].max()) < 0.01


class SkyAbove(nn.Module):
    """Sky in the upper half of any picture."""

    def forward(self, picture: Tensor) -> Tensor:
        found = torch.zeros(1, 3, picture.shape[2] // 4, picture.shape[3] // 4)
        found[:, 2, : found.shape[2] // 2] = 1
        return found


def test_what_is_painted_and_not_found_leaves_the_sky_to_the_clouds() -> None:
    whole = scene.Scene(scene.Prepare(Reader(), SkyAbove()), scene.Frame()).eval().requires_grad_(False)
    torch.manual_seed(4)
    inputs = export.cond_inputs(words({"sway": "fast", "clouds": "fast"}), 2, 16, 20)
    inputs["motion_mask"], inputs["frame_positions"] = torch.ones(1, 1, 16, 20), torch.tensor([0.0, 0.4])
    _, context, _, both = whole(*inputs.values())
    assert levels(context, 0) == {"sway": 1.0, "clouds": 1.0}
    _, _, _, clouds = whole(*{**inputs, "encoder_hidden_states": words({"clouds": "fast"})}.values())
    change = (both - clouds)[:, :, 1].abs().amax((0, 1))
    assert float(change[:7].max()) < 0.01
    assert float(change[9:].max()) > 0.02


def test_a_negative_prompt_takes_motions_out(whole: scene.Scene) -> None:
    context, _ = run(whole, {"snow": "fast"}, {"snow": "slow", "tilt-up": "slow"})
    assert levels(context, 0) == {"tilt-up": 0.35}
    assert levels(context, scene.ASKED) == {"snow": 0.35, "tilt-up": 0.35}


def test_a_still_clip_is_the_picture(whole: scene.Scene) -> None:
    torch.manual_seed(4)
    inputs = export.cond_inputs(words({"static": "normal"}), 3, 16, 20)
    _, _, _, latents = whole(*inputs.values())
    assert latents.shape == (1, dct.CHANNELS, 3, 16, 20)
    assert float((latents - inputs["image_latents"]).abs().max()) < 1e-4


def test_a_panorama_is_passed_from_end_to_end_pixel_by_pixel(whole: scene.Scene) -> None:
    torch.manual_seed(4)
    for asked, first, last in (("pan-right", 0, 1), ("pan-left", 1, 0)):
        inputs = export.cond_inputs(words({asked: "normal"}), 3, 16, 64)
        inputs["frame_size"] = torch.tensor([64, 112])
        _, context, _, latents = whole(*inputs.values())
        assert levels(context, 0) == {asked: 0.65}
        assert latents.shape == (1, dct.CHANNELS, 3, 16, 28)
        picture = inputs["image_latents"][:, :, 0]
        ends = (picture[..., :28], picture[..., -28:])
        assert float((latents[:, :, 0] - ends[first]).abs().max()) < 1e-3
        assert float((latents[:, :, 2] - ends[last]).abs().max()) < 1e-3


def test_the_graph_draws_what_pytorch_draws(whole: scene.Scene, tmp_path: Path) -> None:
    path = tmp_path / "unet_cond.onnx"
    torch.manual_seed(0)
    graphs.save(export.conditioner(whole, export.cond_inputs(words({}, {}), 3, 16, 20)), path)
    session = graphs.session(path)
    names = [value.name for value in session.get_inputs()]
    everything = {kind: "normal" for kind in KINDS if kind not in ("static", "zoom-out")}
    for rows, frames, h, w, size in (
        (({"zoom-in": "fast", "snow": "fast", "dusk": "slow"},), 5, 24, 16, (96, 64)),
        (({}, everything), 2, 16, 32, (64, 128)),
        (({"rotate-ccw": "slow"},), 1, 16, 16, (64, 64)),
        (({"pan-left": "slow", "waves": "fast", "snow": "slow"},), 3, 16, 64, (64, 112)),
    ):
        inputs = export.cond_inputs(words(*rows), frames, h, w)
        inputs["frame_size"] = torch.tensor(size)
        inputs["frame_views"][1:] = torch.tensor([1.2, 0.05, -0.04, 0.03])
        if len(rows) == 2:
            inputs["motion_mask"] = (torch.rand(1, 1, 24, 48) > 0.3).float()
        expected = whole(*inputs.values())
        got = session.run(None, {name: inputs[name].numpy() for name in names})
        for e, g in zip(expected, got, strict=True):
            assert np.abs(e.numpy() - g).max() < 1e-4


def test_a_frame_shows_the_view_that_it_is_given(whole: scene.Scene) -> None:
    torch.manual_seed(4)
    inputs = export.cond_inputs(words({"pan-left": "fast"}), 3, 16, 20)
    _, _, path, own = whole(*inputs.values())
    inputs["frame_views"] = path[[0, 16, 32]].flip(0)
    _, _, same, given = whole(*inputs.values())
    assert torch.equal(same, path)
    assert float((given - own.flip(2)).abs().max()) < 1e-4
    inputs["frame_views"][:] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    _, _, _, still = whole(*inputs.values())
    assert float((still - inputs["image_latents"]).abs().max()) < 1e-4


def test_what_goes_round_goes_on_and_an_evening_stays(whole: scene.Scene) -> None:
    still = torch.tensor([1.0, 0.0, 0.0, 0.0])

    def drawn(asked: dict[str, str], *positions: float) -> Tensor:
        torch.manual_seed(4)
        inputs = export.cond_inputs(words(asked), len(positions), 16, 20)
        inputs["frame_positions"] = torch.tensor(positions)
        inputs["frame_views"] = still.repeat(len(positions), 1)
        latents: Tensor = whole(*inputs.values())[3]
        return latents[0].transpose(0, 1)

    first, _, again = drawn({"snow": "fast", "flicker": "fast"}, 0.3, 0.8, 1.3)
    assert float((first - again).abs().max()) < 1e-3
    day, dusk, later, latest = drawn({"dusk": "fast"}, 0.0, 1.0, 1.2, 2.0)
    assert float((day - dusk).abs().max()) > 0.1
    assert torch.equal(dusk, later) and torch.equal(dusk, latest)
