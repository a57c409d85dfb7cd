"""The networks of nets.py rearranged for ONNX Runtime: the same numbers, fewer passes over large tensors.

ONNX Runtime runs convolutions on a CPU in a layout of channel blocks. What lies between two of them
(pixel_shuffle, pixel_unshuffle, arithmetic) runs outside of it, often in one thread, and costs as much as a
convolution. So a pixel_unshuffle becomes part of the convolution behind it, a pixel_shuffle moves whole runs
of channels, and the arithmetic around the network is summed up into a few coefficients per channel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nets
from nets import LATENTS, PATCH


def convolution(weight: Tensor, bias: Tensor | None = None, **options: int) -> nn.Conv2d:
    layer = nn.Conv2d(
        weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), bias=bias is not None, **options
    )
    layer.weight.data.copy_(weight)
    if bias is not None:
        layer.bias.data.copy_(bias)
    return layer.requires_grad_(False)


def unshuffled_weight(layer: nn.Conv2d, r: int) -> Tensor:
    """Weight of the convolution with stride r that does pixel_unshuffle(r) and `layer` at once."""
    out, inner, k, _ = layer.weight.shape
    weight = layer.weight.reshape(out, inner // r**2, r, r, k, k)
    return weight.permute(0, 1, 4, 2, 5, 3).reshape(out, inner // r**2, k * r, k * r)


def unshuffling(layer: nn.Conv2d, r: int) -> nn.Conv2d:
    return convolution(unshuffled_weight(layer, r), layer.bias, stride=r, padding=layer.padding[0] * r)


def places_first(layer: nn.Conv2d) -> nn.Conv2d:
    """`layer` with its output channels sorted by place in the 2×2 square, then by channel, as Shuffle wants
    them.
    """

    def sort(x: Tensor) -> Tensor:
        return x.reshape(-1, 4, *x.shape[1:]).transpose(0, 1).reshape(x.shape)

    return convolution(sort(layer.weight), sort(layer.bias), padding=layer.padding)


class Shuffle(nn.Module):
    """pixel_shuffle(2) behind places_first, with the channels innermost: all of a pixel's channels move
    together.

    The convolution changes no number. It lets ONNX Runtime read the result in this order, straight into its
    own layout.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.same = convolution(torch.eye(width)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        n, channels, h, w = x.shape
        x = x.permute(0, 2, 3, 1).reshape(n, h, w, 2, channels // 2).transpose(2, 3)
        return self.same(x.reshape(n, 2 * h, 2 * w, channels // 4).permute(0, 3, 1, 2))


class Encoder(nn.Module):
    """nets.Encoder whose two first layers read the picture itself."""

    def __init__(self, encoder: nets.Encoder) -> None:
        super().__init__()
        self.linear, self.head = unshuffling(encoder.linear, PATCH), unshuffling(encoder.head, PATCH)
        self.blocks, self.tail = encoder.blocks, encoder.tail

    def forward(self, picture: Tensor) -> Tensor:
        return self.linear(picture) + self.tail(F.relu(self.blocks(F.relu(self.head(picture)))))


class Core(nn.Module):
    """unet_core: nets.Denoiser.step.

    v is linear in noisy, warped and rest (see Denoiser.predict_x0), with a² + r² = 1 for the square roots a
    and r of the schedule and s for the variance (a sigma)² + r²: v = a r (1 - sigma²) / s noisy - r / s
    warped - sigma / sqrt(s) rest.
    """

    def __init__(self, denoiser: nets.Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        # One layer per input: two tensors need not be put together.
        head = unshuffled_weight(denoiser.head, 2)
        self.head_noisy = convolution(head[:, :LATENTS], denoiser.head.bias, stride=2, padding=2)
        self.head_warped = convolution(head[:, LATENTS:], stride=2, padding=2)
        self.up, self.tail = places_first(denoiser.up), places_first(denoiser.tail)
        self.shuffle_up, self.shuffle_tail = Shuffle(self.up.out_channels // 4), Shuffle(LATENTS)

    def coefficients(self, timestep: Tensor) -> list[Tensor]:
        """Of the network's input (noisy, warped), then of v (noisy, warped, rest), each (C, 1, 1, 1)."""
        a, r, sigma = (
            self.denoiser.sqrt_alpha[timestep],
            self.denoiser.sqrt_rest[timestep],
            self.denoiser.sigma,
        )
        variance = (a * sigma) ** 2 + r**2
        scale = variance.rsqrt()
        values = scale, -a * scale, a * r * (1 - sigma**2) / variance, -r / variance, -sigma * scale
        return [x.reshape(LATENTS, 1, 1, 1) for x in values]

    def network(self, noisy: Tensor, warped: Tensor, cond: Tensor) -> Tensor:
        """Denoiser.network."""
        d = self.denoiser
        h = F.relu(self.head_warped(warped) + self.head_noisy(noisy))
        for block in d.down_blocks:
            h = block(h, cond)
        skip = h
        h = F.relu(d.down(h))
        for block in d.middle:
            h = block(h, cond)
        h = self.shuffle_up(self.up(F.relu(h))) + skip
        for block in d.up_blocks:
            h = block(h, cond)
        return self.shuffle_tail(self.tail(F.relu(h)))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        fps_emb: Tensor,
        context: Tensor,
        warped: Tensor,
        factors: Tensor,
    ) -> Tensor:
        rows, frames, h, w = warped.shape[0], warped.shape[2], warped.shape[3], warped.shape[4]
        cond = self.denoiser.conditioning(timestep, fps_emb, context)
        cond = cond[:, None].expand(-1, frames, -1).reshape(rows * frames, -1)
        in_noisy, in_warped, v_noisy, v_warped, v_rest = self.coefficients(timestep)

        def flat(x: Tensor) -> Tensor:
            return x.transpose(1, 2).reshape(rows * frames, LATENTS, h, w)

        rest = self.network(flat(in_noisy * sample + in_warped * warped), flat(warped), cond)
        rest = rest.reshape(rows, frames, LATENTS, h, w).transpose(1, 2)
        # The rows' weighted sum as a product of matrices: for one row a single pass.
        v = (v_warped * warped + v_rest * rest).reshape(rows, -1)
        v = (factors[None, 1:] @ v).reshape(1, LATENTS, frames, h, w)
        return (factors[:1] + factors[1:].sum(0, keepdim=True) * v_noisy) * sample + v
