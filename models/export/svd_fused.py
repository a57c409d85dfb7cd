"""The UNet's core and the VAE's decoder of Stable Video Diffusion, rebuilt from ONNX Runtime's fused CUDA
operators (fused_ops.py) with the layers of fused.py.

Layouts, waiting sums and packed attention over time are those of fused.py. What differs:

* The rows of guidance see different pictures from the first convolution on, so nothing is computed once for
  both but the noisy half of that convolution.
* At the highest resolution two rows go one after the other, each as a clip of its own, and together below:
  the large tensors are half as large, and kernels have enough to do with one. So the graph of two rows is
  another one than that of a single row, and a pack has both (branch.py).
* A cross-attention adds one vector to all tokens of a clip (svd_graphs.py). Where there is one clip, it is
  a bias of the norm that comes next, whose kernel adds a vector that is the same for all tokens. Where there
  are two, it is added before that norm over space; over time the norm adds it, see Transformer, and with it
  what belongs to a frame's number.

Knows nothing of files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from torch import Tensor, nn

from fused import (
    TURNED_WIDTH,
    Attention,
    Blocks,
    Conv,
    FeedForward,
    LayerNorm,
    Level,
    Linear,
    Norm,
    Sizes,
    Sum,
    UpsampledConv,
    VaeAttention,
    divisors_of,
    join,
    positions_of,
    through_blocks,
    turned,
)
from fused import Resnet as ResnetOverSpace
from fused_ops import expand_like, reshape, reshape_like, split_evenly, upsample_nearest
from graphs import pixels_of
from svd_graphs import (
    alpha_of,
    blended_conv,
    check_transformer,
    combine,
    halves_of_inputs,
    layers_of,
    transformers_of,
)

# Cells of the largest picture, 1024x576.
MOST_CELLS = 128 * 72
# Of a feed-forward's widest tensor of one row. onnxruntime's arena takes memory in regions of powers of two,
# so a larger one takes 2 GiB and more at once. 25 frames have 1.1 GiB at the highest resolution, and a single
# row takes 1 GiB less of the card in two parts.
WIDEST_BYTES = 2**30


def levels_of(widths: Sequence[int], frames: int) -> list[Level]:
    """Of a UNet with these channels per level, trained with as many frames.

    The parts of a transformer are parts of a frame's positions, from its first feed-forward on, and each has
    sequences of its own in the attention over time. This takes two copies of the tokens before and one after;
    with feed-forwards in parts of their own it would be eight.
    """
    levels = []
    for i, (channels, divisor) in enumerate(zip(widths, divisors_of(len(widths)), strict=True)):
        # Value and gate of 4C each, in FP16.
        widest = frames * (MOST_CELLS // 4**i) * 8 * channels * 2
        parts = min(2 ** max(math.ceil(math.log2(widest / WIDEST_BYTES)), 0), divisor)
        levels.append(Level(parts, min(positions_of(frames), divisor // parts)))
    return levels


@dataclass
class Clips:
    """What every layer sees of B clips: silu of the embedding (1, E) and the same for every frame (B*F, E),
    ones (B, 1, 1, 1), context (B, 2P), and for every frame of all clips context and positions, (1, B*F, 2P)
    and (1, B*F, P). `is_one`: B is 1. `in_parts`: transformers go in the parts of their level.
    """

    is_one: bool
    in_parts: bool
    emb: Tensor
    frame_emb: Tensor
    ones: Tensor
    context: Tensor
    frame_context: Tensor
    positions: Tensor


class Resnet(nn.Module):
    """SpatioTemporalResBlock."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        time = block.temporal_res_block
        self.space = ResnetOverSpace(block.spatial_res_block)
        self.norm1, self.norm2 = Norm(time.norm1, True), Norm(time.norm2, True)
        self.is_turned = self.norm1.channels == TURNED_WIDTH
        self.conv1, self.conv2 = (
            Conv(conv, is_turned=self.is_turned) for conv in (time.conv1, blended_conv(block))
        )
        self.time = None if time.time_emb_proj is None else Linear(time.time_emb_proj)
        if self.time is not None:
            self.time.bias = self.time.bias + self.conv1.bias

    def forward(self, act: Sum, sizes: Sizes, clips: Clips | None = None) -> Sum:
        act = self.space(act, sizes, None if clips is None else clips.frame_emb)
        y = self.norm1(act, "time", sizes)
        identity = act.value(sizes, "time")
        if self.is_turned:
            y = turned(y)
        if self.time is None or clips is None:
            y = self.norm2(Sum(self.conv1(y), "time", self.conv1.width), "time", sizes)
        else:
            skip = clips.ones * reshape(self.time.with_bias(clips.emb), 0, 1, 1, -1)
            y, _ = self.norm2.with_skip(self.conv1(y, with_bias=False), skip)
        y = self.conv2(y, with_bias=False)
        y = turned(y) if self.is_turned else y
        return Sum(y, "time", self.conv2.width, identity, self.conv2.bias)


class Block(nn.Module):
    """The self-attention of a transformer block and its feed-forward."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm3 = LayerNorm(block.norm1), LayerNorm(block.norm3)
        self.attn, self.ff = Attention(block.attn1), FeedForward(block.ff, 1)


class Transformer(nn.Module):
    """TransformerSpatioTemporalModel, whose vectors begin at `start` in positions.

    Over space a tensor is (B*F, h*w, C), over time (h*w, B*F, C): what belongs to a frame of a clip repeats
    with the positions there, so that the norm over channels adds it while it reads.
    """

    def __init__(self, model: nn.Module, start: int, level: Level) -> None:
        super().__init__()
        check_transformer(model)
        space, time = model.transformer_blocks[0], model.temporal_transformer_blocks[0]
        self.start, self.level, self.channels = start, level, model.in_channels
        self.norm, self.proj_in = Norm(model.norm, False), Linear(model.proj_in)
        self.register_buffer("bias_in", self.proj_in.bias[None, None])
        self.space, self.time = Block(space), Block(time)
        self.norm_in, self.ff_in = LayerNorm(time.norm_in), FeedForward(time.ff_in, 1)
        self.proj_out = Linear(model.proj_out)
        # alpha * y + (1 - alpha) * z, with the larger factor in the Linear that comes next. y and z lack the
        # biases of their feed-forwards, which that Linear's has instead.
        alpha = float(alpha_of(model.time_mixer))
        larger = max(alpha, 1 - alpha)
        self.is_mostly_space, self.share = alpha >= 0.5, min(alpha, 1 - alpha) / larger
        weight, bias = self.proj_out.weight.float(), self.proj_out.bias
        waiting = alpha * self.space.ff.out.bias.float() + (1 - alpha) * self.time.ff.out.bias.float()
        self.proj_out.bias = (bias.float() + waiting @ weight).to(bias.dtype)
        self.proj_out.weight = (weight * larger).to(bias.dtype)
        if self.is_mostly_space:
            out = self.time.ff.out
            out.weight = (out.weight.float() * self.share).to(out.weight.dtype)

    def forward(self, act: Sum, sizes: Sizes, clips: Clips) -> Sum:
        channels, parts = self.channels, self.level.parts if clips.in_parts else 1
        y, x = self.over_space(act, sizes, clips)
        mixed = [
            self.over_time(self.space.ff.plus(*both).permute(1, 0, 2), sizes.part(parts), clips).permute(
                1, 0, 2
            )
            for both in zip(*(split_evenly(value, parts, axis=1) for value in (y, x)), strict=True)
        ]
        skip = act.value(sizes, "space")
        out = reshape_like(self.proj_out(mixed[0] if parts == 1 else torch.cat(mixed, dim=1)), skip)
        return Sum(out, "space", channels, skip, self.proj_out.bias)

    def over_space(self, act: Sum, sizes: Sizes, clips: Clips) -> tuple[Tensor, Tensor]:
        """-> the input of the feed-forward, and the residual, (B*F, h*w, C)."""
        channels, start, space = self.channels, self.start, self.space
        over_space = clips.context[:, 2 * start : 2 * start + channels]

        x = self.proj_in(reshape(self.norm(act, "space", sizes), 0, -1, channels))
        # One token is one batch entry here, so that the kernel repeats the bias over all of them. The sum
        # waits for the vector that the cross-attention adds.
        y, _ = space.norm1.with_skip(reshape(x, -1, 1, channels), self.bias_in, None)
        out = space.attn.out(space.attn(reshape_like(y, x)))
        bias = space.attn.out.bias + self.proj_in.bias
        if clips.is_one:
            return space.norm3.with_skip(out, x, reshape(over_space, -1) + bias)
        seen = reshape(over_space, 0, 1, -1) + bias
        return space.norm3.with_skip(reshape_like(sizes.to(out, "clips", channels) + seen, out), x, None)

    def over_time(self, y: Tensor, sizes: Sizes, clips: Clips) -> Tensor:
        """y (h*w, B*F, C), what space gives -> the blend of space and time; `sizes` are those of y."""
        channels, start, time = self.channels, self.start, self.time
        own = slice(2 * start + channels, 2 * start + 2 * channels)
        position = clips.positions[:, :, start : start + channels]

        x, z = self.norm_in.with_skip(y, position, self.space.ff.out.bias)
        x, z = time.norm1.with_skip(self.ff_in(x), z, self.ff_in.out.bias)
        attended = time.attn.over_frames(sizes.to(x, "pixels", channels), sizes, self.level.positions)
        if clips.is_one:
            attended = reshape_like(time.attn.out(attended), z)
            x, z = time.norm3.with_skip(attended, z, reshape(clips.context[:, own], -1) + time.attn.out.bias)
        else:
            total = time.attn.out.plus(attended, z)
            x, z = time.norm3.with_skip(total, clips.frame_context[:, :, own], time.attn.out.bias)
        less, more = (z, y) if self.is_mostly_space else (y, z)
        return time.ff.plus(x, less, self.share) + more


class Layer(nn.Module):
    """A residual block, and the transformer after it if there is one."""

    def __init__(self, resnet: nn.Module, transformer: nn.Module | None, start: int, level: Level) -> None:
        super().__init__()
        self.resnet = Resnet(resnet)
        self.transformer = None if transformer is None else Transformer(transformer, start, level)

    def forward(self, act: Sum, sizes: Sizes, clips: Clips) -> Sum:
        act = self.resnet(act, sizes, clips)
        return act if self.transformer is None else self.transformer(act, sizes, clips)


@dataclass
class Row:
    """A row by itself at the highest resolution, and what skip connections read there."""

    sizes: Sizes
    clips: Clips
    skips: list[Sum]


class UnetCore(nn.Module):
    """As svd_graphs.UnetCore, inputs and output in float32. Computes in `dtype`, but for the sum at the end.
    A trace is for the number of rows that it was made with.

    h and w must be divisible by two as often as the UNet halves them.
    """

    def __init__(self, unet: UNetSpatioTemporalConditionModel, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        half = unet.time_proj.num_channels // 2
        if not unet.time_proj.flip_sin_to_cos or unet.time_proj.downscale_freq_shift != 0:
            raise NotImplementedError("time embedding of another form")
        freqs = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        self.register_buffer("freqs", freqs.to(unet.conv_in.weight.device))
        self.time1, self.time2 = Linear(unet.time_embedding.linear_1), Linear(unet.time_embedding.linear_2)
        self.conv_noisy, self.conv_picture = (Conv(conv) for conv in halves_of_inputs(unet.conv_in))

        count = len(unet.down_blocks)
        if count < 2:
            raise NotImplementedError("a UNet of one resolution")
        levels = levels_of(unet.config.block_out_channels, unet.config.num_frames)
        order = [*levels, levels[-1], *reversed(levels)]
        blocks = [
            nn.ModuleList(Layer(*layer, level) for layer in layers)
            for layers, level in zip(layers_of(unet), order, strict=True)
        ]
        self.down, self.mid = nn.ModuleList(blocks[:count]), blocks[count]
        self.up = nn.ModuleList(blocks[count + 1 :])
        downs, ups = unet.down_blocks, unet.up_blocks
        self.downsamplers = nn.ModuleList(Conv(b.downsamplers[0].conv) for b in downs if b.downsamplers)
        self.upsamplers = nn.ModuleList(UpsampledConv(b.upsamplers[0].conv) for b in ups if b.upsamplers)
        self.vectors = sum(model.in_channels for model in transformers_of(unet))
        self.norm_out = Norm(unet.conv_norm_out, True)
        self.out_channels = unet.config.out_channels
        self.conv_out = Conv(unet.conv_out, out_multiple=8)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.with_deep_features(*inputs)[0]

    def with_deep_features(
        self,
        sample: Tensor,
        timestep: Tensor,
        image_latents: Tensor,
        cond_emb: Tensor,
        context: Tensor,
        positions: Tensor,
        factors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """-> out_sample, and the input of the last layer (B*F, h, w, C), before its skip connection."""
        count = len(context)
        is_one = count == 1
        emb, noisy = self.embedding(timestep, cond_emb), self.noisy(sample)
        sizes, clips = self.clips(sample, emb, context, positions, is_one, in_parts=True)
        rows = []
        for picture, own in zip(*(split_evenly(x, count) for x in (image_latents, context)), strict=True):
            # The tensors of one row of two are small enough.
            seen = self.clips(sample, emb, own, positions, is_one=True, in_parts=is_one)
            rows.append(Row(*seen, [self.first(noisy, picture)]))

        below = Blocks(self.down[1:], self.downsamplers[1:], self.mid, self.up[:-1], self.upsamplers[:-1])
        lower = sizes.half()
        first = Sum(joined([self.enter(row) for row in rows]), "space", self.downsamplers[0].width)

        def run(layer: nn.Module, act: Sum, sizes: Sizes) -> Sum:
            return layer(act, sizes, clips)

        act, _ = through_blocks(below, first, lower, run, lambda: first)
        apart = split_evenly(act.value(lower, "space"), count)
        left = [self.leave(row, x) for row, x in zip(rows, apart, strict=True)]
        outputs, deep = (joined(parts) for parts in zip(*left, strict=True))
        return combine(sample, outputs.float(), factors), deep

    def embedding(self, timestep: Tensor, cond_emb: Tensor) -> Tensor:
        """Every reader applies SiLU first, so it is applied here once."""
        angles = timestep[:, None] * self.freqs
        emb = self.time1.with_bias(torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.dtype))
        return F.silu(self.time2.with_bias(F.silu(emb)) + cond_emb.to(self.dtype))

    def clips(
        self, sample: Tensor, emb: Tensor, context: Tensor, positions: Tensor, is_one: bool, in_parts: bool
    ) -> tuple[Sizes, Clips]:
        """The sizes of the highest resolution, and what all layers see, of the rows of `context`."""
        sizes = Sizes(sample[:, 0] + context[:, :1, None, None] * 0, self.dtype)
        ones = (sizes.plane[:, :1, :1, :1] * 0 + 1).to(self.dtype)
        frame_emb = reshape(expand_like(emb[:, None], sizes.clip), -1, self.time2.width)
        context = context.to(self.dtype)

        def for_frames(x: Tensor, width: int) -> Tensor:
            """(B or 1, F or 1, width) -> (1, B*F, width)."""
            return reshape(expand_like(x.to(self.dtype), sizes.clip), 1, -1, width)

        frame_context = for_frames(reshape(context, 0, 1, -1), 2 * self.vectors)
        positions = for_frames(positions, self.vectors)
        return sizes, Clips(is_one, in_parts, emb, frame_emb, ones, context, frame_context, positions)

    def noisy(self, sample: Tensor) -> Tensor:
        """A convolution is a sum over channels: the noisy ones are the same for every row. (1, F, h*w, C)."""
        one = Sizes(sample[:, 0], self.dtype)
        x = one.to(sample.to(self.dtype).permute(0, 2, 3, 4, 1), "space", self.out_channels)
        return one.to(self.conv_noisy(x), "time", self.conv_noisy.width)

    def first(self, noisy: Tensor, image_latents: Tensor) -> Sum:
        """The picture's channels are the same for every frame."""
        picture = self.conv_picture(image_latents.to(self.dtype).permute(0, 2, 3, 1), with_bias=False)
        width = self.conv_picture.width
        return Sum(noisy + reshape(picture, 0, 1, -1, width), "time", width)

    def enter(self, row: Row) -> Tensor:
        """Down through the highest resolution -> the input of the next one (F, h/2, w/2, C)."""
        act = row.skips[0]
        for layer in self.down[0]:
            act = layer(act, row.sizes, row.clips)
            row.skips.append(act)
        return self.downsamplers[0](act.value(row.sizes, "space"))

    def leave(self, row: Row, x: Tensor) -> tuple[Tensor, Tensor]:
        """Up through the highest resolution -> the prediction (1, C, F, h, w), and the input of the last
        layer.
        """
        up = self.upsamplers[-1]
        act = Sum(up(x), "space", up.width)
        for layer in self.up[-1]:
            deep = act.value(row.sizes, "space")
            act = layer(join(deep, act.channels, row.skips.pop(), row.sizes), row.sizes, row.clips)
        return self.prediction(act, row.sizes), deep

    def prediction(self, act: Sum, sizes: Sizes) -> Tensor:
        out = self.conv_out(self.norm_out(act, "space", sizes))
        return sizes.to(out, "pictures", self.conv_out.width)[..., : self.out_channels].permute(0, 4, 1, 2, 3)


def joined(rows: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(rows)) if len(rows) > 1 else rows[0]


class UnetShallow(nn.Module):
    """The first and the last layer of the UNet around deep_features of an earlier step (DeepCache), for any
    number of rows.
    """

    def __init__(self, core: UnetCore) -> None:
        super().__init__()
        self.core = core

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        image_latents: Tensor,
        cond_emb: Tensor,
        context: Tensor,
        positions: Tensor,
        factors: Tensor,
        deep_features: Tensor,
    ) -> Tensor:
        core = self.core
        emb = core.embedding(timestep, cond_emb)
        sizes, clips = core.clips(sample, emb, context, positions, is_one=False, in_parts=True)
        skip, layer = core.first(core.noisy(sample), image_latents), core.up[-1][-1]
        channels = layer.resnet.space.norm1.channels - skip.channels
        act = layer(join(deep_features.to(core.dtype), channels, skip, sizes), sizes, clips)
        return combine(sample, core.prediction(act, sizes).float(), factors)


class VaeDecoder(nn.Module):
    """As svd_graphs.VaeDecoder; all but rgb in float32. The frames are one clip."""

    def __init__(self, vae: AutoencoderKLTemporalDecoder, dtype: torch.dtype) -> None:
        super().__init__()
        decoder, self.dtype = vae.decoder, dtype
        self.conv_in = Conv(decoder.conv_in)
        self.mid = nn.ModuleList(Resnet(resnet) for resnet in decoder.mid_block.resnets)
        if len(decoder.mid_block.attentions) != 1 or len(self.mid) != 2:
            raise NotImplementedError("a decoder of another form")
        self.attn = VaeAttention(decoder.mid_block.attentions[0])
        self.up = nn.ModuleList(nn.ModuleList(Resnet(r) for r in b.resnets) for b in decoder.up_blocks)
        ups = decoder.up_blocks
        self.upsamplers = nn.ModuleList(Conv(b.upsamplers[0].conv) for b in ups if b.upsamplers)
        self.norm_out = Norm(decoder.conv_norm_out, True)
        self.conv_out = Conv(decoder.conv_out, out_multiple=8)
        self.out_channels = decoder.conv_out.out_channels
        self.time_conv_out = Conv(decoder.time_conv_out, out_multiple=8, in_multiple=8)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.conv_in(latent.to(self.dtype).permute(0, 2, 3, 1))
        sizes = self.sizes(x)
        act = self.mid[0](Sum(x, "space", self.conv_in.width), sizes)
        act = self.mid[1](self.attn(act, sizes), sizes)
        for i, resnets in enumerate(self.up):
            for resnet in resnets:
                act = resnet(act, sizes)
            if i < len(self.upsamplers):
                x = self.upsamplers[i](upsample_nearest(act.value(sizes, "space")))
                sizes, act = self.sizes(x), Sum(x, "space", self.upsamplers[i].width)
        x = self.conv_out(self.norm_out(act, "space", sizes))
        out = self.time_conv_out(sizes.to(x, "time", self.conv_out.width))
        sample = sizes.to(out, "space", self.time_conv_out.width)[..., : self.out_channels].float()
        return sample.permute(0, 3, 1, 2), pixels_of(sample), sample.mean()

    def sizes(self, x: Tensor) -> Sizes:
        """Of x (n, h, w, C)."""
        return Sizes(x[..., 0][None].float(), self.dtype)
