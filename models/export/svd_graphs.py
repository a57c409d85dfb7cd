"""The graphs of a `plain` SVD pack as torch modules, with the inputs and outputs that Kinora feeds and reads.

The picture's embedding is one token, over which a softmax is 1. So a cross-attention adds the same vector at
every position, whatever its queries and keys: `UnetCond` computes these vectors once per clip, and with them
what belongs to a frame's number and to the clip's numbers. Nothing of that is left in `UnetCore`, which runs
once per step. B is the number of rows, two with guidance; they differ in image_latents and context only.

Computes in four dimensions, (B*F, C, h, w) over space and (B, C, F, h*w) over time. The share of a residual
block's AlphaBlender is part of its last convolution's weights. image_only_indicator is always zero, as in the
pipeline, so every blender has one alpha.

Knows nothing of files.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import AlphaBlender
from torch import Tensor, nn

from graphs import pixels_of
from rewrite import MultiHeadAttention, conv_over_rows, frames_to_rows


def transformers_of(unet: UNetSpatioTemporalConditionModel) -> list[nn.Module]:
    """In the order of their vectors in context and positions: down, middle, up."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    return [transformer for block in blocks for transformer in getattr(block, "attentions", [])]


def check_transformer(model: nn.Module) -> None:
    """Raises NotImplementedError for a TransformerSpatioTemporalModel of another form."""
    if len(model.transformer_blocks) != 1 or len(model.temporal_transformer_blocks) != 1:
        raise NotImplementedError("a transformer of more than one block")
    for block in (model.transformer_blocks[0], model.temporal_transformer_blocks[0]):
        if block.attn2 is None or block.attn2.group_norm is not None or block.attn1.to_q.bias is not None:
            raise NotImplementedError("this transformer is of a kind that the export does not know")
    if not model.temporal_transformer_blocks[0].is_res or model.time_mixer.switch_spatial_to_temporal_mix:
        raise NotImplementedError("this transformer is of a kind that the export does not know")


def alpha_of(mixer: AlphaBlender) -> Tensor:
    """The share of what space gives, (1) in float32."""
    alpha = torch.sigmoid(mixer.mix_factor.data.float())
    if mixer.merge_strategy == "fixed":
        alpha = mixer.mix_factor.data.float()
    return 1 - alpha if mixer.switch_spatial_to_temporal_mix else alpha


def blended_conv(block: nn.Module) -> nn.Conv3d:
    """The last convolution of a SpatioTemporalResBlock, times 1 - alpha.

    alpha * x + (1 - alpha) * (x + h) is x + (1 - alpha) * h.
    """
    if block.temporal_res_block.conv_shortcut is not None:
        raise NotImplementedError("a residual block over time that changes the width")
    share, original = 1 - alpha_of(block.time_mixer), block.temporal_res_block.conv2
    blended = nn.Conv3d(
        original.in_channels,
        original.out_channels,
        original.kernel_size,
        padding=original.padding,
        device="meta",
    )
    for name in ("weight", "bias"):
        value = getattr(original, name).data
        scaled = (value.float() * share.to(value.device)).to(value.dtype)
        setattr(blended, name, nn.Parameter(scaled, requires_grad=False))
    return blended


def self_attention(attn: Attention, x: Tensor) -> Tensor:
    q, k, v = attn.to_q(x), attn.to_k(x), attn.to_v(x)
    return attn.to_out[0](MultiHeadAttention.apply(q, k, v, attn.heads, float(attn.scale)))


class UnetCond(nn.Module):
    """added_time_ids (1, 3): fps - 1, motion bucket, strength of the picture's noise; image_embeddings
    (B, 1, D); frame_index (F): 0 to F - 1, all float32
    -> cond_emb (1, E), context (B, 2P), positions (1, F, P).

    P is the sum of the transformers' widths C. For each, `context` has the C numbers that its cross-attention
    over space adds, then the C of that over time, and `positions` the C that belong to the frame.
    """

    def __init__(self, unet: UNetSpatioTemporalConditionModel) -> None:
        super().__init__()
        self.add_time_proj, self.add_embedding = unet.add_time_proj, unet.add_embedding
        values, frames = [], []
        for model in transformers_of(unet):
            check_transformer(model)
            for block in (model.transformer_blocks[0], model.temporal_transformer_blocks[0]):
                values.append(nn.Sequential(block.attn2.to_v, block.attn2.to_out[0]))
            frames.append(nn.Sequential(model.time_proj, model.time_pos_embed))
        self.values, self.frames = nn.ModuleList(values), nn.ModuleList(frames)

    def forward(
        self, added_time_ids: Tensor, image_embeddings: Tensor, frame_index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        cond_emb = self.add_embedding(self.add_time_proj(added_time_ids[0]).reshape(1, -1))
        context = torch.cat([value(image_embeddings) for value in self.values], dim=-1)[:, 0]
        positions = torch.cat([frame(frame_index) for frame in self.frames], dim=-1)[None]
        return cond_emb, context, positions


class Resnet(nn.Module):
    """SpatioTemporalResBlock."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        time = block.temporal_res_block
        self.space, self.norm1, self.norm2 = block.spatial_res_block, time.norm1, time.norm2
        self.conv1, self.conv2 = conv_over_rows(time.conv1), conv_over_rows(blended_conv(block))
        self.time_emb_proj = time.time_emb_proj

    def forward(self, x: Tensor, num_frames: int, emb: Tensor | None = None) -> Tensor:
        """x (B*F, C, h, w), emb (1, E) of all rows and frames."""
        x = self.space(x, emb)
        shape = x.shape
        x = frames_to_rows(x, num_frames)
        y = self.conv1(F.silu(self.norm1(x)))
        if self.time_emb_proj is not None and emb is not None:
            y = y + self.time_emb_proj(F.silu(emb))[:, :, None, None]
        x = x + self.conv2(F.silu(self.norm2(y)))
        return x.transpose(1, 2).reshape(shape)


class Transformer(nn.Module):
    """TransformerSpatioTemporalModel, whose vectors begin at `start` in positions."""

    def __init__(self, model: nn.Module, start: int) -> None:
        super().__init__()
        check_transformer(model)
        self.norm, self.proj_in, self.proj_out = model.norm, model.proj_in, model.proj_out
        self.space, self.time = model.transformer_blocks[0], model.temporal_transformer_blocks[0]
        self.start, self.channels = start, model.in_channels
        self.alpha = float(alpha_of(model.time_mixer))

    def forward(self, x: Tensor, context: Tensor, positions: Tensor) -> Tensor:
        shape, channels, start, num_frames = x.shape, self.channels, self.start, positions.shape[1]
        cells = shape[2] * shape[3]
        over_space = context[:, 2 * start : 2 * start + channels]
        over_time = context[:, 2 * start + channels : 2 * start + 2 * channels]
        position = positions[:, :, start : start + channels]  # (1, F, C)

        def in_clips(value: Tensor) -> Tensor:
            return value.reshape(-1, num_frames, cells, channels)

        y = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))  # (B*F, h*w, C)
        y = y + self_attention(self.space.attn1, self.space.norm1(y))
        y = (in_clips(y) + over_space[:, None, None]).reshape(-1, cells, channels)
        y = y + self.space.ff(self.space.norm3(y))

        z = (
            (in_clips(y) + position[:, :, None]).transpose(1, 2).reshape(-1, num_frames, channels)
        )  # (B*h*w, F, C)
        z = z + self.time.ff_in(self.time.norm_in(z))
        z = z + self_attention(self.time.attn1, self.time.norm1(z))
        z = z.reshape(-1, cells, num_frames, channels) + over_time[:, None, None]
        z = z + self.time.ff(self.time.norm3(z))
        z = z.transpose(1, 2).reshape(-1, cells, channels)

        y = self.proj_out(self.alpha * y + (1 - self.alpha) * z)
        return y.transpose(1, 2).reshape(shape) + x


class Layer(nn.Module):
    """A residual block, and the transformer after it if there is one."""

    def __init__(self, resnet: nn.Module, transformer: nn.Module | None, start: int) -> None:
        super().__init__()
        self.resnet = Resnet(resnet)
        self.transformer = None if transformer is None else Transformer(transformer, start)

    def forward(self, x: Tensor, emb: Tensor, context: Tensor, positions: Tensor) -> Tensor:
        x = self.resnet(x, positions.shape[1], emb)
        return x if self.transformer is None else self.transformer(x, context, positions)


def layers_of(
    unet: UNetSpatioTemporalConditionModel,
) -> Iterator[list[tuple[nn.Module, nn.Module | None, int]]]:
    """For each block, down, middle, up: its residual blocks, the transformer after each, and where that one's
    vectors begin. The middle block goes residual, transformer, residual.
    """
    start = 0
    for block in [*unet.down_blocks, unet.mid_block, *unet.up_blocks]:
        transformers = list(getattr(block, "attentions", []))
        layers = []
        for i, resnet in enumerate(block.resnets):
            transformer = transformers[i] if i < len(transformers) else None
            layers.append((resnet, transformer, start))
            start += transformer.in_channels if transformer is not None else 0
        yield layers


class UnetCore(nn.Module):
    """sample (1, C, F, h, w), timestep float32 (1), image_latents (B, C, h, w), UnetCond's three outputs,
    factors (1 + B, F) -> out_sample (1, C, F, h, w): `combine` of the sample and the predictions.
    """

    def __init__(self, unet: UNetSpatioTemporalConditionModel) -> None:
        super().__init__()
        self.time_proj, self.time_embedding = unet.time_proj, unet.time_embedding
        # A convolution is a sum over channels: the noisy ones are the same for every row, and the picture's
        # for every frame.
        self.conv_noisy, self.conv_picture = halves_of_inputs(unet.conv_in)
        blocks = [nn.ModuleList(Layer(*layer) for layer in layers) for layers in layers_of(unet)]
        count = len(unet.down_blocks)
        self.down, self.mid = nn.ModuleList(blocks[:count]), blocks[count]
        self.up = nn.ModuleList(blocks[count + 1 :])
        self.downsamplers = nn.ModuleList(b.downsamplers[0] for b in unet.down_blocks if b.downsamplers)
        self.upsamplers = nn.ModuleList(b.upsamplers[0] for b in unet.up_blocks if b.upsamplers)
        self.conv_norm_out, self.conv_out = unet.conv_norm_out, unet.conv_out

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
        """-> out_sample, and the input of the last layer (B*F, C, h, w), before its skip connection."""
        emb = self.embedding(timestep, cond_emb)
        x = deep = self.first(sample, image_latents)
        skips = [x]
        for i, layers in enumerate(self.down):
            for layer in layers:
                x = layer(x, emb, context, positions)
                skips.append(x)
            if i < len(self.downsamplers):
                x = self.downsamplers[i](x)
                skips.append(x)
        for layer in self.mid:
            x = layer(x, emb, context, positions)
        for i, layers in enumerate(self.up):
            for layer in layers:
                deep = x
                x = layer(torch.cat([x, skips.pop()], dim=1), emb, context, positions)
            if i < len(self.upsamplers):
                x = self.upsamplers[i](x)
        return self.last(x, sample, factors), deep

    def embedding(self, timestep: Tensor, cond_emb: Tensor) -> Tensor:
        """(1, E), of all rows and frames."""
        return self.time_embedding(self.time_proj(timestep)) + cond_emb

    def first(self, sample: Tensor, image_latents: Tensor) -> Tensor:
        noisy = self.conv_noisy(sample[0].transpose(0, 1))  # (F, C, h, w)
        return (noisy[None] + self.conv_picture(image_latents)[:, None]).flatten(0, 1)

    def last(self, x: Tensor, sample: Tensor, factors: Tensor) -> Tensor:
        x = self.conv_out(F.silu(self.conv_norm_out(x)))
        predictions = x.reshape(-1, sample.shape[2], *x.shape[1:]).transpose(1, 2)
        return combine(sample, predictions, factors)


def halves_of_inputs(conv: nn.Conv2d) -> list[nn.Conv2d]:
    """Two convolutions of half the input channels each, whose sum is `conv`; the first has the bias."""
    halves = []
    for weight, bias in zip(conv.weight.data.chunk(2, dim=1), (conv.bias.data, None), strict=True):
        half = nn.Conv2d(
            weight.shape[1],
            weight.shape[0],
            conv.kernel_size,
            padding=conv.padding,
            bias=bias is not None,
            device="meta",
        )
        half.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        if bias is not None:
            half.bias = nn.Parameter(bias, requires_grad=False)
        halves.append(half)
    return halves


def combine(sample: Tensor, predictions: Tensor, factors: Tensor) -> Tensor:
    """As graphs.combine, with factors (1 + B, F): guidance differs from frame to frame."""
    rows = torch.cat([sample, predictions])
    return (factors[:, None, :, None, None] * rows).sum(dim=0, keepdim=True)


class UnetShallow(nn.Module):
    """The first and the last layer of the UNet around deep_features of an earlier step (DeepCache, arXiv
    2312.00858).
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
        x = torch.cat([deep_features, core.first(sample, image_latents)], dim=1)
        x = core.up[-1][-1](x, core.embedding(timestep, cond_emb), context, positions)
        return core.last(x, sample, factors)


class VaeDecoder(nn.Module):
    """latent (n, C, h, w) of n frames that belong together, divided by the scaling factor -> the three of
    graphs.VaeDecoder. Every frame sees all others.
    """

    def __init__(self, vae: AutoencoderKLTemporalDecoder) -> None:
        super().__init__()
        decoder = vae.decoder
        self.conv_in, self.attn = decoder.conv_in, decoder.mid_block.attentions[0]
        self.mid = nn.ModuleList(Resnet(resnet) for resnet in decoder.mid_block.resnets)
        if len(decoder.mid_block.attentions) != 1 or len(self.mid) != 2:
            raise NotImplementedError("a decoder of another form")
        self.up = nn.ModuleList(nn.ModuleList(Resnet(r) for r in b.resnets) for b in decoder.up_blocks)
        self.upsamplers = nn.ModuleList(b.upsamplers[0] for b in decoder.up_blocks if b.upsamplers)
        self.conv_norm_out, self.conv_out = decoder.conv_norm_out, decoder.conv_out
        self.time_conv_out = conv_over_rows(decoder.time_conv_out)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n = latent.shape[0]
        x = self.mid[1](self.attn(self.mid[0](self.conv_in(latent), n)), n)
        for i, resnets in enumerate(self.up):
            for resnet in resnets:
                x = resnet(x, n)
            if i < len(self.upsamplers):
                x = self.upsamplers[i](x)
        x = self.conv_out(F.silu(self.conv_norm_out(x)))
        sample = self.time_conv_out(frames_to_rows(x, n))[0].transpose(0, 1).reshape(x.shape)
        return sample, pixels_of(sample.permute(0, 2, 3, 1)), sample.mean()
