"""unet_core of the second edition: the v that leads from any noise to the latents that unet_cond has drawn.

Exact for every timestep and scheduler, so one step is as good as fifty.
"""

import torch
from torch import Tensor, nn

TRAIN_STEPS = 1000


def alphas_cumprod() -> Tensor:
    """Squared-cosine schedule with zero terminal SNR, as diffusers computes it: (1000,) float64."""
    u = torch.arange(TRAIN_STEPS + 1, dtype=torch.float64) / TRAIN_STEPS
    f = torch.cos((u + 0.008) / 1.008 * torch.pi / 2) ** 2
    betas = (1 - f[1:] / f[:-1]).clamp(max=0.999).float().double()
    r = torch.cumprod(1 - betas, 0).sqrt()
    r = (r - r[-1]) * r[0] / (r[0] - r[-1])
    return r * r


# Scripted, so that the branch survives tracing: a clip of one step need not read its noise.
@torch.jit.script_if_tracing
def _combine(sample: Tensor, drawn: Tensor, of_sample: Tensor, of_drawn: Tensor) -> Tensor:
    if bool((of_sample == 0).all()):
        out = of_drawn * drawn
    else:
        out = of_sample * sample + of_drawn * drawn
    return out


class Core(nn.Module):
    """factors[0] · sample + Σ factors[b] · v, with v = (√a · sample − drawn) / √(1 − a) for every row of
    guidance, since all of them show one clip.

    sample and image_latents_enc, what was drawn, (1, C, F, h, w), timestep (1,), factors (1 + B,).
    """

    def __init__(self) -> None:
        super().__init__()
        a = alphas_cumprod()
        self.register_buffer("sqrt_alpha", a.sqrt().float(), persistent=False)
        self.register_buffer("sqrt_rest", (1 - a).sqrt().float(), persistent=False)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        fps_emb: Tensor,
        context: Tensor,
        image_latents_enc: Tensor,
        factors: Tensor,
    ) -> Tensor:
        a, r = self.sqrt_alpha[timestep], self.sqrt_rest[timestep]
        of_v = factors[1:].sum(0, keepdim=True)
        return _combine(sample, image_latents_enc, factors[:1] + of_v * a / r, -of_v / r)
