"""The codec and the core of the second edition: nothing that anybody sees is lost in them."""

import math

import pytest
import torch
from skimage import data

import core
import dct


def photograph(name: str) -> torch.Tensor:
    pixels = torch.from_numpy(getattr(data, name)()[:256, :448].copy())
    return (pixels.permute(2, 0, 1).float() / 127.5 - 1)[None]


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea"])
def test_a_photograph_comes_back(name: str) -> None:
    picture = photograph(name)
    latents = dct.Encoder()(picture)
    back = dct.Decoder()(latents)
    assert latents.shape == (1, 32, picture.shape[2] // 4, picture.shape[3] // 4)
    assert 10 * math.log10(4 / float((back - picture).square().mean())) > 38
    # What is lost is lost once: a clip that stands still shows the picture's own latents.
    assert torch.allclose(dct.Encoder()(back), latents, atol=1e-5)


def test_a_grey_picture_loses_nothing() -> None:
    grey = photograph("coffee").mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(dct.Decoder()(dct.Encoder()(grey)), grey, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 4, 25])
def test_ddim_ends_at_what_was_drawn(steps: int) -> None:
    """By the formulas of DDIM with v-prediction, from pure noise, with and without guidance."""
    torch.manual_seed(0)
    a = core.alphas_cumprod()
    drawn, sample = torch.randn(2, 1, 32, 3, 4, 4)
    timesteps = [round(1000 - i * 1000 / steps) - 1 for i in range(steps)]
    for i, t in enumerate(timesteps):
        now = a[t]
        after = a[timesteps[i + 1]] if i + 1 < steps else torch.tensor(1.0, dtype=torch.float64)
        # x0 = √now sample - √(1-now) v, noise = √now v + √(1-now) sample, next = √after x0 + √(1-after) noise
        of_sample = (after * now).sqrt() + ((1 - after) * (1 - now)).sqrt()
        of_v = ((1 - after) * now).sqrt() - (after * (1 - now)).sqrt()
        rows = [0.5, 0.5] if i % 2 else [1.0]
        factors = torch.tensor([float(of_sample), *(float(of_v) * row for row in rows)])
        sample = core.Core()(
            sample, torch.tensor([t]), torch.zeros(1, 64), torch.zeros(1, 2, 128), drawn, factors
        )
    assert torch.allclose(sample, drawn, atol=1e-4)
