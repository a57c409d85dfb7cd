"""Waves, sway and clouds: they loop, start at the picture, keep to their masks and export."""

import io
import warnings

import onnxruntime as ort
import torch
from torch import Tensor, nn

import hand_masks
import local
import masks

ALL = (local.WAVES, local.SWAY, local.CLOUDS)


def picture(height: int, width: int) -> Tensor:
    noise = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(3))
    return nn.functional.interpolate(noise, size=(height, width), mode="bicubic").clamp(0, 1) * 2 - 1


def halves(height: int, width: int) -> Tensor:
    """Water below, sky above, foliage at the left between them."""
    m = torch.zeros(1, 3, height // 4, width // 4)
    m[:, 0, height // 8 :] = 1
    m[:, 2, : height // 16] = 1
    m[:, 1, height // 16 : height // 8, : width // 8] = 1
    return m


def test_a_clip_starts_at_the_picture_and_loops() -> None:
    x, m = picture(128, 192), halves(128, 192)
    parts = local.maps(m, hand_masks.asked(3, *ALL), torch.ones(1), *hand_masks.draws(1))
    frames, way = hand_masks.clip(x, parts, torch.tensor([0.0, 0.37, 1.0]))
    assert (frames[0] - x[0]).abs().max() < 1e-3
    assert (frames[2] - x[0]).abs().max() < 1e-3
    assert way[1].abs().max() > 2


def test_nothing_moves_outside_the_masks() -> None:
    m = halves(128, 192)
    parts = local.maps(m, hand_masks.asked(3, *ALL), torch.ones(1), *hand_masks.draws(1))
    _, way = hand_masks.clip(picture(128, 192), parts, torch.linspace(0, 1, 9))
    assert way[:, :, 36:60, 100:].abs().max() < 0.01


def test_absent_kinds_leave_the_picture_and_cost_one_cell() -> None:
    x = picture(64, 96)
    parts = local.maps(halves(64, 96), hand_masks.asked(2), torch.ones(1), *hand_masks.draws(1))
    field = local.field(parts, torch.linspace(0, 1, 4))
    assert field.shape == (4, 5, 1, 1) and not field.any()
    frames = local.look(x, hand_masks.still(64, 96, 4), field)
    assert (frames - x).abs().max() < 1e-3


def test_clouds_drift_with_the_wind() -> None:
    m = torch.zeros(1, 3, 32, 48)
    m[:, 2] = 1
    for side, sign in ((local.WIND_LEFT, 1), (local.WIND_RIGHT, -1)):
        hot = hand_masks.asked(2, local.CLOUDS, side)
        field = local.field(local.maps(m, hot, torch.ones(1), *hand_masks.draws(2)), torch.tensor([0.1]))
        # What drifts to the left is looked for at the right.
        assert sign * field[0, 0, 20:40, 30:60].mean() > 0.005


def test_two_seeds_and_two_details_differ() -> None:
    m = halves(480, 720)
    hot, p = hand_masks.asked(2, local.WAVES), torch.linspace(0, 1, 9)
    (course, details), (other, others) = hand_masks.draws(1), hand_masks.draws(2)
    fields = [
        local.field(local.maps(m, hot, torch.ones(1), a, b), p)[:, 1]
        for a, b in ((course, details), (course, others), (other, others))
    ]
    size = fields[0].std()
    assert 0.2 * size < (fields[0] - fields[1]).std() < 0.9 * size
    assert (fields[0] - fields[2]).std() > 0.9 * size


class Clip(nn.Module):
    """The way from picture to frames."""

    def __init__(self) -> None:
        super().__init__()
        self.net = masks.load()

    def forward(
        self,
        picture: Tensor,
        grid: Tensor,
        hot: Tensor,
        gain: Tensor,
        p: Tensor,
        course: Tensor,
        details: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        m = self.net(picture)
        field = local.field(local.maps(m, hot, gain, course, details), p)
        return local.look(picture, grid, field), m, masks.fits(m)


def feed(height: int, width: int, frames: int, hot: Tensor) -> tuple[Tensor, ...]:
    return (
        picture(height, width),
        hand_masks.still(height, width, frames).contiguous(),
        hot,
        torch.ones(1),
        torch.linspace(0, 1, frames),
        *hand_masks.draws(4),
    )


def test_onnx_equals_pytorch_at_any_size() -> None:
    names = ["picture", "grid", "hot", "gain", "p", "course", "details"]
    sides, buffer, clip = {2: "H", 3: "W"}, io.BytesIO(), Clip().eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            clip,
            feed(64, 96, 3, hand_masks.asked(2, *ALL)),
            buffer,
            input_names=names,
            output_names=["frames", "m", "fits"],
            dynamic_axes={"picture": sides, "grid": {0: "F", 1: "H", 2: "W"}, "p": {0: "F"}},
            opset_version=20,
            dynamo=False,
        )
    session = ort.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    for height, width, frames, hot in (
        (64, 96, 3, hand_masks.asked(2, *ALL)),
        (128, 80, 5, hand_masks.asked(3, local.WAVES)),
        (68, 100, 2, hand_masks.asked(1, local.SWAY, local.WIND_LEFT)),
        (96, 160, 4, hand_masks.asked(2, local.CLOUDS)),
        (96, 160, 1, hand_masks.asked(2)),
    ):
        inputs = feed(height, width, frames, hot)
        expected = clip(*inputs)
        got = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        for e, g in zip(expected, got, strict=True):
            assert e.shape == g.shape
            assert (e - torch.from_numpy(g)).abs().max() < 1e-4
