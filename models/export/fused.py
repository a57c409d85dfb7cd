"""The UNet's core and the VAE of I2VGen-XL rebuilt from ONNX Runtime's fused CUDA operators (fused_ops.py).

The same numbers as the diffusers modules, in another order and another layout:

* Channels last from the first convolution to the last. A feature map is (B*F, h, w, C) for the convolutions
  over space ("space"), (B, F, h*w, C) for those over time ("time"), (B*F, h*w, C) for attention: the same
  memory, so that only attention over time has to transpose.
* Every residual addition waits as a `Sum` until the next normalisation, which adds while it reads; biases of
  convolutions and Linears wait with it.
* Cross-attention sees all frames of a clip as one sequence of queries, so that keys and values are not
repeated.
* Until the first cross-attention there is one clip, however many rows the context has: conv_in,
  transformer_in and the first layer with its self-attention over the highest resolution, the dearest of all,
  are computed once.
* Attention over time has thousands of sequences of 16 to 32 tokens, which are far too short for the kernel.
  The frames of several positions go through it as one sequence, and a mask keeps the positions apart.

Weights are taken from the diffusers modules in the precision that they have; the norms' scale and shift stay
float32. Knows nothing of files.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, I2VGenXLUNet
from diffusers.models.activations import GEGLU
from torch import Tensor, nn

from fused_ops import (
    BIAS_SPLIT_GELU_WIDTHS,
    bias_add,
    bias_split_gelu,
    corners_to_rows,
    cut_border,
    expand_like,
    group_norm,
    matmul_add,
    nhwc_conv,
    pad_end,
    reshape,
    reshape_like,
    reshape_to,
    shape_of,
    skip_group_norm,
    skip_layer_norm,
    split_evenly,
    upsample_nearest,
)
from graphs import combine, pixels_of
from rewrite import MultiHeadAttention

# Added to the scores between frames of different positions. FP16 holds it, and its exponential is zero.
APART = -30000.0


class Sizes:
    """The shapes of one resolution, as tensors: B clips of F frames, h x w positions. `plane` is (B, F, h,
    w). Computed with in `dtype`.
    """

    def __init__(self, plane: Tensor, dtype: torch.dtype, masks: dict[int, Tensor] | None = None) -> None:
        self.plane, self.dtype = plane, dtype
        self.clip = plane[:, :, :1, 0]  # (B, F, 1)
        space = reshape(plane.permute(0, 2, 3, 1), -1, 0, 0, 1)  # only the shape is right
        self._shapes = {
            "space": space,  # (B*F, h, w, 1)
            "tokens": reshape(space, 0, -1, 1),  # (B*F, h*w, 1)
            "time": reshape(plane, 0, 0, -1, 1),  # (B, F, h*w, 1)
            "pixels": reshape(plane, -1, 0, 1),  # (B*h*w, F, 1)
            "clips": reshape(plane, 0, -1, 1),  # (B, F*h*w, 1)
            "pictures": reshape(plane, 0, 0, 0, -1, 1),  # (B, F, h, w, 1)
            "frames last": reshape(reshape(plane, 0, 0, -1).permute(0, 2, 1), 0, 0, -1, 1),  # (B, h*w, F, 1)
        }
        self._wide: dict[tuple[str, int], Tensor] = {}
        self._parts: dict[int, Sizes] = {}
        # They depend on the number of frames only, so all resolutions share them.
        self._masks = {} if masks is None else masks

    def half(self) -> "Sizes":
        return Sizes(self.plane[:, :, ::2, ::2], self.dtype, self._masks)

    def part(self, parts: int) -> "Sizes":
        """Of one of `parts` equal parts of the positions, a power of two: halves of height and width."""
        if parts not in self._parts:
            rows = 2 ** math.ceil(math.log2(parts) / 2)
            plane = self.plane[:, :, ::rows, :: parts // rows]
            self._parts[parts] = Sizes(plane, self.dtype, self._masks) if parts > 1 else self
        return self._parts[parts]

    def packed(self, x: Tensor, positions: int, channels: int) -> Tensor:
        """(B*h*w, F, C) -> (B*h*w / positions, positions*F, C)."""
        layout = f"{positions} positions"
        if layout not in self._shapes:
            self._shapes[layout] = reshape(reshape(self.plane, -1, 0, positions, 1), 0, -1, 1)
        return self.to(x, layout, channels)

    def mask(self, positions: int) -> Tensor:
        """(1, 1, positions*F, positions*F), for the scores of packed sequences."""
        if positions not in self._masks:
            frames = self.plane[:1, :, 0, 0] * 0  # (1, F)
            number = torch.arange(positions, dtype=frames.dtype, device=frames.device)[:, None]
            position = reshape(number + frames, -1)  # of each frame of the packed sequence
            apart = (position[:, None] - position).abs().clamp(max=1) * APART
            self._masks[positions] = apart[None, None].to(self.dtype)
        return self._masks[positions]

    def to(self, x: Tensor, layout: str, channels: int) -> Tensor:
        key = layout, channels
        if key not in self._wide:
            self._wide[key] = shape_of(self._shapes[layout], channels)
        return reshape_to(x, self._wide[key])


class Sum:
    """x + skip + bias, added as late as possible, in one layout. Both tensors have four dimensions."""

    # Sizes are numbers of the modules: a shape that is read from a tensor would be traced.
    def __init__(
        self, x: Tensor, layout: str, channels: int, skip: Tensor | None = None, bias: Tensor | None = None
    ) -> None:
        self.x, self.layout, self.channels, self.skip, self.bias = x, layout, channels, skip, bias

    def settle(self, total: Tensor, layout: str) -> None:
        self.x, self.layout, self.skip, self.bias = total, layout, None, None

    def value(self, sizes: Sizes | None = None, layout: str | None = None) -> Tensor:
        """The sum as a tensor, in `layout` if one is named. Adds it now if no normalisation has done so."""
        if self.skip is not None:
            x, skip = (reshape(tensor, 0, -1, self.channels) for tensor in (self.x, self.skip))
            flat = bias_add(x, self.bias, skip)
            # Not like x, which may be transposed: ONNX Runtime would work out such a shape on the CPU.
            self.settle(reshape_like(flat, self.skip), self.layout)
        if layout is not None and layout != self.layout:
            assert sizes is not None
            self.settle(sizes.to(self.x, layout, self.channels), layout)
        return self.x


class Norm(nn.Module):
    """GroupNorm, with SiLU after it or without."""

    def __init__(self, norm: nn.GroupNorm, silu: bool) -> None:
        super().__init__()
        self.groups, self.eps, self.silu, self.channels = norm.num_groups, norm.eps, silu, norm.num_channels
        self.register_buffer("gamma", norm.weight.data.float())
        self.register_buffer("beta", norm.bias.data.float())

    def forward(self, act: Sum, layout: str, sizes: Sizes | None) -> Tensor:
        """Normalises in `layout` and leaves `act` added."""
        if act.skip is None:
            return group_norm(
                act.value(sizes, layout), self.gamma, self.beta, self.groups, self.eps, self.silu
            )
        x, skip = act.x, act.skip
        if act.layout != layout:
            assert sizes is not None
            x, skip = (sizes.to(tensor, layout, self.channels) for tensor in (x, skip))
        out, total = self.with_skip(x, skip, act.bias)
        act.settle(total, layout)
        return out

    def with_skip(self, x: Tensor, skip: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return skip_group_norm(x, self.gamma, self.beta, skip, bias, self.groups, self.eps, self.silu)


class LayerNorm(nn.Module):
    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.eps, self.shape = norm.eps, tuple(norm.normalized_shape)
        self.register_buffer("gamma", norm.weight.data)
        self.register_buffer("beta", norm.bias.data)

    def with_skip(self, x: Tensor, skip: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        return skip_layer_norm(x, skip, self.gamma, self.beta, bias, self.eps)


class Conv(nn.Module):
    """Convolution over space of an NHWC tensor, or over time of (B, F, h*w, C), or turned of (B, h*w, F, C).
    The caller adds `bias`, unless asked otherwise.
    """

    def __init__(
        self,
        conv: nn.Conv2d | nn.Conv3d,
        out_multiple: int = 1,
        in_multiple: int = 1,
        is_turned: bool = False,
    ) -> None:
        super().__init__()
        weight, bias = conv.weight.data, None if conv.bias is None else conv.bias.data
        strides, pads = conv.stride, conv.padding
        if isinstance(conv, nn.Conv3d):
            if conv.kernel_size != (3, 1, 1) or pads != (1, 0, 0) or strides != (1, 1, 1):
                raise NotImplementedError(f"temporal convolution of another form: {conv}")
            weight, strides, pads = weight.squeeze(-1), (1, 1), (1, 0)
            if is_turned:
                weight, pads = weight.transpose(2, 3), (0, 1)
        if conv.groups != 1 or any(size != 1 for size in conv.dilation):
            raise NotImplementedError(f"convolution of another form: {conv}")
        # Tensor cores want a multiple of 8 channels: zeros are appended, the caller cuts them off.
        extra = -weight.shape[0] % out_multiple
        if extra:
            weight, bias = F.pad(weight, (0, 0) * 3 + (0, extra)), F.pad(bias, (0, extra))
        if missing := -weight.shape[1] % in_multiple:
            weight = F.pad(weight, (0, 0) * 2 + (0, missing))
        self.strides, self.pads, self.width = tuple(strides), tuple(pads), weight.shape[0]
        self.register_buffer("weight", weight.permute(0, 2, 3, 1).contiguous())
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor, with_bias: bool = True) -> Tensor:
        out = nhwc_conv(x, self.weight, self.strides, self.pads)
        return out + self.bias if with_bias and self.bias is not None else out


class UpsampledConv(nn.Module):
    """A convolution 3x3 of a feature map that has been upsampled to the nearest, without upsampling it.

    Of the three rows that an output reads, two are copies of one row, so two rows with summed weights are
    enough, and of the columns two: 4/9 of the products. A window of 2x2 lies around a corner between the
    cells and gives the four outputs around that corner.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if conv.kernel_size != (3, 3) or conv.padding != (1, 1) or conv.stride != (1, 1):
            raise NotImplementedError(f"upsampling with a convolution of another form: {conv}")
        self.width = conv.out_channels
        # For the output above the corner and the one below: how the window's two rows share the three
        # weights. Left and right likewise.
        takes = torch.tensor([[[1.0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], device=conv.weight.device)
        weight = torch.einsum("aik,bjl,mckl->abmijc", takes, takes, conv.weight.data.float())
        self.register_buffer("weight", weight.flatten(0, 2).to(conv.weight.dtype).contiguous())
        self.register_buffer("bias", conv.bias.data.repeat(4))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, h, w, C) -> (N, 2h, 2w, M)."""
        around = nhwc_conv(x, self.weight, pads=(1, 1)) + self.bias  # (N, h + 1, w + 1, 2 * 2 * M)
        return cut_border(corners_to_rows(around, self.width))


class Linear(nn.Module):
    """Without its bias, which the caller adds."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.width = linear.out_features
        self.register_buffer("weight", linear.weight.data.t().contiguous())
        self.register_buffer("bias", None if linear.bias is None else linear.bias.data)

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight)

    def with_bias(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self.weight) + self.bias

    def plus(self, x: Tensor, addend: Tensor, share: float = 1.0) -> Tensor:
        """With share * addend."""
        return matmul_add(x, self.weight, addend, share)


class Resnet(nn.Module):
    """ResnetBlock2D. In the UNet the first convolution's bias is part of the time embedding's."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        timed = block.time_emb_proj is not None
        if (
            timed
            and block.time_embedding_norm != "default"
            or block.skip_time_act
            or block.output_scale_factor != 1
        ):
            raise NotImplementedError("this ResnetBlock2D is of a kind that the export does not know")
        if block.upsample or block.downsample:
            raise NotImplementedError("this ResnetBlock2D is of a kind that the export does not know")
        self.norm1, self.norm2 = Norm(block.norm1, True), Norm(block.norm2, True)
        self.conv1, self.conv2 = Conv(block.conv1), Conv(block.conv2)
        self.time = Linear(block.time_emb_proj) if timed else None
        if self.time is not None:
            self.time.bias = self.time.bias + self.conv1.bias
        bias = self.conv2.bias
        shortcut = None
        if block.conv_shortcut is not None:
            shortcut = block.conv_shortcut.weight.data.flatten(1).t().contiguous()
            if block.conv_shortcut.bias is not None:
                bias = bias + block.conv_shortcut.bias.data
        self.register_buffer("shortcut", shortcut)
        self.register_buffer("bias", bias)

    def forward(self, act: Sum, sizes: Sizes | None, emb: Tensor | None = None) -> Sum:
        y = self.norm1(act, "space", sizes)
        x = act.value(sizes, "space")
        if self.time is None:
            y = self.norm2(Sum(self.conv1(y), "space", self.conv1.width), "space", sizes)
        else:
            skip = reshape(self.time.with_bias(emb), 0, 1, 1, -1)
            y, _ = self.norm2.with_skip(self.conv1(y, with_bias=False), skip)
        if self.shortcut is not None:
            x = torch.matmul(x, self.shortcut)
        return Sum(self.conv2(y, with_bias=False), "space", self.conv2.width, x, self.bias)


# cuDNN has no good kernel for a convolution over time of this width in a large picture: of 2304 cells and 25
# frames it takes 1.05 ms on an H200, and 0.48 turned. With 1024 cells both take the same. To turn the input
# of a chain of convolutions and its output takes 0.24.
TURNED_WIDTH = 640


def turned(x: Tensor) -> Tensor:
    """(B, F, h*w, C) <-> (B, h*w, F, C)."""
    return x.permute(0, 2, 1, 3)


class TemporalConv(nn.Module):
    """TemporalConvLayer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        stages = (layer.conv1, layer.conv2, layer.conv3, layer.conv4)
        self.norms = nn.ModuleList(Norm(stage[0], True) for stage in stages)
        self.is_turned = self.norms[0].channels == TURNED_WIDTH
        self.convs = nn.ModuleList(Conv(stage[-1], is_turned=self.is_turned) for stage in stages)

    def forward(self, act: Sum, sizes: Sizes, ones: Tensor) -> Sum:
        """`ones` is (B, 1, 1, 1). A product, because ONNX Runtime would expand a weight on the CPU."""
        y = self.norms[0](act, "time", sizes)
        identity = act.value(sizes, "time")
        if self.is_turned:
            y = turned(y)
        for previous, norm in zip(self.convs, self.norms[1:], strict=False):
            # The convolution's bias is added by the norm, as an addend that is the same at every position.
            y, _ = norm.with_skip(previous(y, with_bias=False), ones * previous.bias)
        last = self.convs[-1]
        y = last(y, with_bias=False)
        return Sum(turned(y) if self.is_turned else y, "time", last.width, identity, last.bias)


class Attention(nn.Module):
    """Without the output's bias, which the next norm adds."""

    def __init__(self, attn: nn.Module) -> None:
        super().__init__()
        if (
            attn.residual_connection
            or attn.rescale_output_factor != 1
            or attn.spatial_norm
            or attn.norm_cross
        ):
            raise NotImplementedError("this Attention is of a kind that the export does not know")
        self.heads, self.scale = attn.heads, float(attn.scale)
        self.q, self.k, self.v = Linear(attn.to_q), Linear(attn.to_k), Linear(attn.to_v)
        self.out = Linear(attn.to_out[0])
        if self.q.bias is not None:
            raise NotImplementedError("attention with biases in its projections")

    def forward(
        self, x: Tensor, context: Tensor | None = None, as_clips: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        source = x if context is None else context
        q, k, v = self.q(x), self.k(source), self.v(source)
        if as_clips is not None:
            q = as_clips(q)
        return MultiHeadAttention.apply(q, k, v, self.heads, self.scale)

    def over_frames(self, x: Tensor, sizes: Sizes, positions: int) -> Tensor:
        """x (B*h*w, F, C): self-attention over the frames of each position, `positions` of them at once."""
        if positions == 1:
            return self(x)
        q, k, v = (linear(x) for linear in (self.q, self.k, self.v))
        packed = (sizes.packed(value, positions, self.q.width) for value in (q, k, v))
        out = MultiHeadAttention.apply(*packed, self.heads, self.scale, sizes.mask(positions))
        return reshape_like(out, q)


class FeedForward(nn.Module):
    """GEGLU and a Linear, whose bias the caller adds.

    A GEGLU a little too narrow for the kernel is padded with zeros: a value of zero stays zero for every
    gate. The tokens can be processed in `parts`, which must divide their number, because the wide tensors
    between the two Linears are the largest of the UNet. This costs two copies of the tokens.
    """

    def __init__(self, ff: nn.Module, parts: int) -> None:
        super().__init__()
        if not isinstance(ff.net[0], GEGLU):
            raise NotImplementedError(f"feed-forward with {type(ff.net[0]).__name__}")
        self.parts, self.channels = parts, ff.net[2].out_features
        self.out = Linear(ff.net[2])
        width = ff.net[2].in_features
        kernel_width = next(
            (known for known in BIAS_SPLIT_GELU_WIDTHS if width <= known <= 1.25 * width), None
        )
        self.is_fused = kernel_width is not None
        if self.is_fused:
            self.proj = Linear(ff.net[0].proj)
            extra = kernel_width - width
            for name in ("weight", "bias"):
                value, gate = getattr(self.proj, name).chunk(2, dim=-1)
                setattr(
                    self.proj, name, torch.cat([F.pad(value, (0, extra)), F.pad(gate, (0, extra))], dim=-1)
                )
            self.out.weight = F.pad(self.out.weight, (0, 0, 0, extra))
        else:
            self.value, self.gate = (Linear(half) for half in halves(ff.net[0].proj))

    def forward(self, x: Tensor) -> Tensor:
        if self.parts == 1:
            return self.part(x)
        parts = split_evenly(reshape(x, self.parts, -1, self.channels), self.parts)
        return reshape_like(torch.cat([self.part(part) for part in parts]), x)

    def part(self, x: Tensor) -> Tensor:
        return self.out(self.between(x))

    def plus(self, x: Tensor, addend: Tensor, share: float = 1.0) -> Tensor:
        """With share * addend, which has x's shape."""
        if self.parts == 1:
            return self.out.plus(self.between(x), addend, share)
        both = (split_evenly(reshape(y, self.parts, -1, self.channels), self.parts) for y in (x, addend))
        parts = [self.out.plus(self.between(part), more, share) for part, more in zip(*both, strict=True)]
        return reshape_like(torch.cat(parts), addend)

    def between(self, x: Tensor) -> Tensor:
        """The wide tensor between the two Linears."""
        if self.is_fused:
            return bias_split_gelu(self.proj(x), self.proj.bias)
        return self.value.with_bias(x) * F.gelu(self.gate.with_bias(x))


def halves(linear: nn.Linear) -> list[nn.Linear]:
    """Two Linears with the first and the second half of the outputs, sharing the weights."""
    parts = []
    for weight, bias in zip(linear.weight.data.chunk(2), linear.bias.data.chunk(2), strict=True):
        part = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
        part.weight, part.bias = (nn.Parameter(value, requires_grad=False) for value in (weight, bias))
        parts.append(part)
    return parts


class TransformerBlock(nn.Module):
    """BasicTransformerBlock: two attentions and the feed-forward."""

    def __init__(self, block: nn.Module, ff_parts: int) -> None:
        super().__init__()
        if block.norm_type != "layer_norm" or block.pos_embed is not None or block.attn2 is None:
            raise NotImplementedError("this BasicTransformerBlock is of a kind that the export does not know")
        self.norm1, self.norm2, self.norm3 = (LayerNorm(n) for n in (block.norm1, block.norm2, block.norm3))
        self.channels = self.norm1.shape[0]
        self.attn1, self.attn2, self.ff = (
            Attention(block.attn1),
            Attention(block.attn2),
            FeedForward(block.ff, ff_parts),
        )

    def over_frames(self, x: Tensor, bias: Tensor, sizes: Sizes, positions: int) -> Tensor:
        """Both attentions over the frames of each position: x (B*h*w, F, C). `bias` as in `normed`."""
        y, x = self.normed(x, bias)
        out = self.attn1.out(self.attn1.over_frames(y, sizes, positions))
        y, x = self.norm2.with_skip(out, x, self.attn1.out.bias)
        return self.feed_forward(self.attn2.over_frames(y, sizes, positions), x)

    def self_attention(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """-> the input of the second attention, and the residual."""
        y, x = self.normed(x, bias)
        return self.norm2.with_skip(self.attn1.out(self.attn1(y)), x, self.attn1.out.bias)

    def cross_attention(
        self, y: Tensor, x: Tensor, context: Tensor, as_clips: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The second attention, over the context, and the feed-forward."""
        return self.feed_forward(reshape_like(self.attn2(y, context, as_clips), y), x)

    def normed(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """-> the input of the first attention, and the residual. `bias` (1, 1, C) is that of the Linear
        before, which has not been added yet.
        """
        # One token is one batch entry here, so that the kernel repeats the bias over all of them.
        y, total = self.norm1.with_skip(reshape(x, -1, 1, self.channels), bias, None)
        return reshape_like(y, x), reshape_like(total, x)

    def feed_forward(self, out: Tensor, x: Tensor) -> Tensor:
        """`out` of the second attention, and the residual."""
        y, x = self.norm3.with_skip(self.attn2.out(out), x, self.attn2.out.bias)
        return bias_add(self.ff(y), self.ff.out.bias, x)


class SpatialTransformer(nn.Module):
    """Transformer2DModel with Linear projections."""

    def __init__(self, model: nn.Module, ff_parts: int) -> None:
        super().__init__()
        if not model.use_linear_projection:
            raise NotImplementedError("Transformer2DModel with convolutions as projections")
        self.norm, self.channels = Norm(model.norm, False), model.norm.num_channels
        self.proj_in, self.proj_out = Linear(model.proj_in), Linear(model.proj_out)
        self.register_buffer("bias_in", self.proj_in.bias[None, None])
        if len(model.transformer_blocks) != 1:
            raise NotImplementedError("a transformer of more than one block")
        self.block = TransformerBlock(model.transformer_blocks[0], ff_parts)

    def forward(self, act: Sum, sizes: Sizes, clips: "Clips", one: "Clips | None" = None) -> Sum:
        """With `one`, `act` is one clip of the highest resolution, and becomes all `clips` where the context
        is read.
        """
        own_sizes = one.sizes if one else sizes
        y = self.norm(act, "space", own_sizes)
        x = self.proj_in(reshape(y, 0, -1, self.channels))
        y, x = self.block.self_attention(x, self.bias_in)
        skip = act.value(own_sizes, "space")
        if one:
            y, x = (clips.repeat(value, "tokens", self.proj_in.width) for value in (y, x))
            skip = clips.repeat(skip, "space", self.channels)
        x = self.block.cross_attention(
            y, x, clips.context, lambda q: sizes.to(q, "clips", self.proj_in.width)
        )
        x = reshape_like(self.proj_out(x), skip)
        return Sum(x, "space", self.channels, skip, self.proj_out.bias)


class TemporalTransformer(nn.Module):
    """TransformerTemporalModel: attention over the frames of each position, of which there are a multiple of
    `positions`.
    """

    def __init__(self, model: nn.Module, ff_parts: int, positions: int) -> None:
        super().__init__()
        self.positions = positions
        self.norm, self.channels = Norm(model.norm, False), model.norm.num_channels
        self.proj_in, self.proj_out = Linear(model.proj_in), Linear(model.proj_out)
        self.register_buffer("bias_in", self.proj_in.bias[None, None])
        if len(model.transformer_blocks) != 1:
            raise NotImplementedError("a transformer of more than one block")
        self.block = TransformerBlock(model.transformer_blocks[0], ff_parts)

    def forward(self, act: Sum, sizes: Sizes) -> Sum:
        y = self.norm(act, "time", sizes).permute(0, 2, 1, 3)
        x = self.proj_in(sizes.to(y, "pixels", self.channels))
        x = self.block.over_frames(x, self.bias_in, sizes, self.positions)
        # Not like y: ONNX Runtime would work out the shape of a transposed tensor on the CPU.
        x = sizes.to(self.proj_out(x), "frames last", self.channels).permute(0, 2, 1, 3)
        return Sum(x, "time", self.channels, act.value(sizes, "time"), self.proj_out.bias)


@dataclass
class Clips:
    """What every layer sees of B clips: their sizes at the highest resolution, silu(time + fps) (B*F, E),
    context (B, N, D) with the text, and ones (B, 1, 1, 1)."""

    sizes: Sizes
    emb: Tensor
    context: Tensor
    ones: Tensor

    def repeat(self, x: Tensor, layout: str, channels: int) -> Tensor:
        """One clip of the highest resolution -> the same B times; `layout` is "space", "time" or "tokens"."""
        x = expand_like(reshape(x, 1, 1, -1, channels), self.ones)
        return self.sizes.to(x, layout, channels)


class Layer(nn.Module):
    """One step of a block: residual block, temporal convolution, and both transformers if there are any."""

    def __init__(self, block: nn.Module, index: int, attention: int | None, level: "Level") -> None:
        super().__init__()
        self.resnet, self.temp_conv = Resnet(block.resnets[index]), TemporalConv(block.temp_convs[index])
        self.attn: SpatialTransformer | None = None
        self.temp_attn: TemporalTransformer | None = None
        if attention is not None:
            self.attn = SpatialTransformer(block.attentions[attention], level.parts)
            self.temp_attn = TemporalTransformer(
                block.temp_attentions[attention], level.parts, level.positions
            )

    def forward(self, act: Sum, sizes: Sizes, clips: Clips) -> Sum:
        act = self.temp_conv(self.resnet(act, sizes, clips.emb), sizes, clips.ones)
        if self.attn is not None and self.temp_attn is not None:
            act = self.temp_attn(self.attn(act, sizes, clips), sizes)
        return act

    def from_one(self, act: Sum, one: Clips, clips: Clips) -> Sum:
        """As forward at the highest resolution, from `act` of one clip. The layer must have attention."""
        assert self.attn is not None and self.temp_attn is not None
        act = self.temp_conv(self.resnet(act, one.sizes, one.emb), one.sizes, one.ones)
        return self.temp_attn(self.attn(act, clips.sizes, clips, one), clips.sizes)


def layers_of(block: nn.Module, level: "Level") -> nn.ModuleList:
    has_attention = getattr(block, "has_cross_attention", False)
    return nn.ModuleList(
        Layer(block, i, i if has_attention else None, level) for i in range(len(block.resnets))
    )


# Parts in which the feed-forwards of the highest resolutions process their tokens. The others use 1.
# Measured on an H100: GiB of the core's session, and milliseconds of a step.
#            512x512x16    768x768x24    1024x1024x32
#   (1,)     5.2, 129      10.2, 470     fails: more than 2^31 elements
#   (2, 1)   4.2, 130      8.2, 472      19.2, 1208
#   (4, 2)   4.2, 132      7.2, 477      17.2, 1213
FF_PARTS = (2, 1)


# Of I2VGen-XL, which takes others, too.
TRAINED_FRAMES = 16

# Tokens of a sequence of the attention over time, at most: the kernel computes 128 at once. Microseconds of
# one attention on an H200, 18432 positions of 320 channels:
#                    1     2     4     8    16 positions in a sequence
#   14 frames     1501  1186   613   332   533
#   25 frames     1512  1190   613   999  1722
PACKED_TOKENS = 128


def positions_of(frames: int) -> int:
    """Positions whose frames are one sequence of the attention over time: a power of two."""
    return 2 ** int(math.log2(max(PACKED_TOKENS // frames, 1)))


@dataclass
class Level:
    """How one resolution is computed: in how many parts what takes the most memory, and how many positions
    are one sequence of the attention over time.
    """

    parts: int
    positions: int


def divisors_of(count: int) -> list[int]:
    """What divides the number of positions of each of `count` levels: height and width can be halved at each
    but the last.
    """
    return [4 ** (count - 1 - level) for level in range(count)]


def levels_of(count: int, positions: int) -> list[Level]:
    wanted = [*FF_PARTS, *[1] * count][:count]
    return [
        Level(min(parts, divisor), min(positions, divisor))
        for parts, divisor in zip(wanted, divisors_of(count), strict=True)
    ]


class UnetCore(nn.Module):
    """As graphs.UnetCore: sample (1, C, F, h, w), timestep int64 (1), encoder_hidden_states, fps_emb,
    context, image_latents_enc, factors (1 + B), all float32 -> out_sample (1, C, F, h, w) float32. Computes
    in `dtype`, but for the sum at the end.

    h and w must be divisible by two as often as the UNet halves them.
    """

    def __init__(self, unet: I2VGenXLUNet, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        half = unet.config.block_out_channels[0] // 2
        if not unet.time_proj.flip_sin_to_cos or unet.time_proj.downscale_freq_shift != 0:
            raise NotImplementedError("time embedding of another form")
        freqs = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        self.register_buffer("freqs", freqs.to(unet.conv_in.weight.device))
        self.time1, self.time2 = Linear(unet.time_embedding.linear_1), Linear(unet.time_embedding.linear_2)

        levels = levels_of(len(unet.down_blocks), positions_of(TRAINED_FRAMES))
        self.conv_in = Conv(unet.conv_in)
        # Its feed-forward is twice as wide as all others of this resolution.
        self.transformer_in = TemporalTransformer(
            unet.transformer_in, min(2 * levels[0].parts, 4 ** (len(levels) - 1)), levels[0].positions
        )
        self.down = nn.ModuleList(
            layers_of(block, level) for block, level in zip(unet.down_blocks, levels, strict=True)
        )
        self.downsamplers = nn.ModuleList(
            Conv(block.downsamplers[0].conv) for block in unet.down_blocks if block.downsamplers
        )
        mid = unet.mid_block
        self.mid = nn.ModuleList(
            Layer(mid, i, i if i < len(mid.attentions) else None, levels[-1]) for i in range(len(mid.resnets))
        )
        self.up = nn.ModuleList(
            layers_of(block, level) for block, level in zip(unet.up_blocks, reversed(levels), strict=True)
        )
        self.upsamplers = nn.ModuleList(
            UpsampledConv(block.upsamplers[0].conv) for block in unet.up_blocks if block.upsamplers
        )
        self.norm_out = Norm(unet.conv_norm_out, True)
        self.out_channels = unet.config.out_channels
        self.in_channels = unet.conv_in.in_channels
        # Padded to the input's channels, so that the output can take the input's shape.
        self.conv_out = Conv(unet.conv_out, out_multiple=self.in_channels)
        if len(mid.resnets) != len(mid.attentions) + 1 or self.conv_out.width != self.in_channels:
            raise NotImplementedError("a UNet of another form")
        if self.down[0][0].attn is None:
            raise NotImplementedError("a UNet of another form")

    def clips(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        fps_emb: Tensor,
        context: Tensor,
    ) -> tuple[Clips, Clips]:
        """The clip of the sample, and the same repeated for every row of the context."""
        context = torch.cat([encoder_hidden_states, context], dim=1)
        angles = timestep.float()[:, None] * self.freqs
        emb = self.time1.with_bias(torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.dtype))
        # Every reader applies SiLU first, so it is applied here once.
        emb = F.silu(self.time2.with_bias(F.silu(emb)) + fps_emb.to(self.dtype))[:, None]

        def clips_of(plane: Tensor, context: Tensor | None) -> Clips:
            sizes = Sizes(plane, self.dtype)
            ones = (plane[:, :1, :1, :1] * 0 + 1).to(self.dtype)
            return Clips(sizes, reshape(expand_like(emb, sizes.clip), -1, self.time2.width), context, ones)

        plane = sample[:, 0]
        return clips_of(plane, None), clips_of(plane + context[:, :1, :1, None] * 0, context.to(self.dtype))

    def first(self, sample: Tensor, image_latents_enc: Tensor, sizes: Sizes) -> Sum:
        x = torch.cat([sample, image_latents_enc], dim=1).to(self.dtype).permute(0, 2, 3, 4, 1)
        act = Sum(self.conv_in(sizes.to(x, "space", self.in_channels)), "space", self.conv_in.width)
        return self.transformer_in(act, sizes)

    def last(self, act: Sum, sizes: Sizes, sample: Tensor, factors: Tensor) -> Tensor:
        out = self.conv_out(self.norm_out(act, "space", sizes))
        out = sizes.to(out, "pictures", self.in_channels)[..., : self.out_channels].permute(0, 4, 1, 2, 3)
        return combine(sample, out.float(), factors)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.with_deep_features(*inputs)[0]

    def with_deep_features(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        fps_emb: Tensor,
        context: Tensor,
        image_latents_enc: Tensor,
        factors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """-> out_sample, and the input of the last layer (B*F, h, w, C), before its skip connection."""
        one, clips = self.clips(sample, timestep, encoder_hidden_states, fps_emb, context)
        first = self.first(sample, image_latents_enc, one.sizes)

        def run(layer: nn.Module, act: Sum, sizes: Sizes) -> Sum:
            return layer.from_one(act, one, clips) if layer is self.down[0][0] else layer(act, sizes, clips)

        blocks = Blocks(self.down, self.downsamplers, self.mid, self.up, self.upsamplers)
        act, deep = through_blocks(blocks, first, clips.sizes, run, lambda: repeat_sum(first, one, clips))
        return self.last(act, clips.sizes, sample, factors), deep


@dataclass
class Blocks:
    """Some resolutions of a UNet, from the highest to the lowest and back."""

    down: nn.ModuleList
    downsamplers: nn.ModuleList
    mid: nn.ModuleList
    up: nn.ModuleList
    upsamplers: nn.ModuleList


def through_blocks(
    blocks: Blocks,
    act: Sum,
    sizes: Sizes,
    run: Callable[[nn.Module, Sum, Sizes], Sum],
    first_skip: Callable[[], Sum],
) -> tuple[Sum, Tensor]:
    """Through `down`, `mid` and `up`, each layer by `run`, with the skip connections between them.
    The last one, from the input of the first layer, is `first_skip`.

    -> what the last layer gives, and its input (B*F, h, w, C), before its skip connection.
    """
    levels = [sizes]
    skips: list[Sum] = []
    for i, layers in enumerate(blocks.down):
        for layer in layers:
            act = run(layer, act, levels[-1])
            skips.append(act)
        if i < len(blocks.downsamplers):
            y = blocks.downsamplers[i](act.value(levels[-1], "space"))
            levels.append(levels[-1].half())
            act = Sum(y, "space", blocks.downsamplers[i].width)
            skips.append(act)
    # The middle block goes residual, attention, residual; a layer of the first pair and one without
    # attention.
    for layer in blocks.mid:
        act = run(layer, act, levels[-1])
    for i, layers in enumerate(blocks.up):
        for layer in layers:
            deep = act.value(levels[-1], "space")
            skip = skips.pop() if skips else first_skip()
            act = run(layer, join(deep, act.channels, skip, levels[-1]), levels[-1])
        if i < len(blocks.upsamplers):
            y = blocks.upsamplers[i](act.value(levels[-1], "space"))
            levels.pop()
            act = Sum(y, "space", blocks.upsamplers[i].width)
    return act, deep


def repeat_sum(act: Sum, one: Clips, clips: Clips) -> Sum:
    """A sum of `one` clip, repeated for all `clips`."""
    x = clips.repeat(act.value(one.sizes, "space"), "space", act.channels)
    return Sum(x, "space", act.channels)


def join(x: Tensor, channels: int, skip: Sum, sizes: Sizes) -> Sum:
    return Sum(torch.cat([x, skip.value(sizes, "space")], dim=-1), "space", channels + skip.channels)


class UnetShallow(nn.Module):
    """The first and the last layer of the UNet around deep_features of an earlier step (DeepCache): about an
    eighth of the work."""

    def __init__(self, core: UnetCore) -> None:
        super().__init__()
        self.core = core

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        fps_emb: Tensor,
        context: Tensor,
        image_latents_enc: Tensor,
        factors: Tensor,
        deep_features: Tensor,
    ) -> Tensor:
        core = self.core
        one, clips = core.clips(sample, timestep, encoder_hidden_states, fps_emb, context)
        skip = repeat_sum(core.first(sample, image_latents_enc, one.sizes), one, clips)
        layer = core.up[-1][-1]
        channels = layer.resnet.norm1.channels - skip.channels
        act = join(deep_features.to(core.dtype), channels, skip, clips.sizes)
        return core.last(layer(act, clips.sizes, clips), clips.sizes, sample, factors)


class VaeAttention(nn.Module):
    """Attention of the VAE's middle block, over all positions of one picture, with its GroupNorm and its
    residual.
    """

    def __init__(self, attn: nn.Module) -> None:
        super().__init__()
        self.norm, self.heads, self.scale = Norm(attn.group_norm, False), attn.heads, float(attn.scale)
        self.q, self.k, self.v = Linear(attn.to_q), Linear(attn.to_k), Linear(attn.to_v)
        self.out, self.channels = Linear(attn.to_out[0]), attn.group_norm.num_channels

    def forward(self, act: Sum, sizes: Sizes | None = None) -> Sum:
        y = self.norm(act, "space", sizes)
        x = reshape(y, 0, -1, self.channels)
        q, k, v = (linear.with_bias(x) for linear in (self.q, self.k, self.v))
        out = self.out(MultiHeadAttention.apply(q, k, v, self.heads, self.scale))
        return Sum(reshape_like(out, y), "space", self.channels, act.value(sizes, "space"), self.out.bias)


class VaeStage(nn.Module):
    """conv_in, and what encoder and decoder have in common: middle block, final norm and convolution."""

    def __init__(self, stage: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.conv_in = Conv(stage.conv_in)
        self.mid = nn.ModuleList(Resnet(resnet) for resnet in stage.mid_block.resnets)
        self.attn = VaeAttention(stage.mid_block.attentions[0])
        self.norm_out = Norm(stage.conv_norm_out, True)
        self.conv_out = Conv(stage.conv_out, out_multiple=8)
        self.out_channels = stage.conv_out.out_channels

    def middle(self, act: Sum) -> Sum:
        return self.mid[1](self.attn(self.mid[0](act, None)), None)

    def last(self, act: Sum) -> Tensor:
        return self.conv_out(self.norm_out(act, "space", None))[..., : self.out_channels]


class VaeEncoder(VaeStage):
    """sample (1, 3, H, W) float32 -> moments (1, 2C, h, w) float32."""

    def __init__(self, vae: AutoencoderKL, dtype: torch.dtype) -> None:
        super().__init__(vae.encoder, dtype)
        self.down = nn.ModuleList(
            nn.ModuleList(Resnet(r) for r in b.resnets) for b in vae.encoder.down_blocks
        )
        self.downsamplers = nn.ModuleList(
            Conv(b.downsamplers[0].conv) for b in vae.encoder.down_blocks if b.downsamplers
        )
        self.quant_conv = Conv(vae.quant_conv)

    def forward(self, sample: Tensor) -> Tensor:
        act = Sum(self.conv_in(sample.to(self.dtype).permute(0, 2, 3, 1)), "space", self.conv_in.width)
        for i, resnets in enumerate(self.down):
            for resnet in resnets:
                act = resnet(act, None)
            if i < len(self.downsamplers):
                # One row below and one column to the right, which cuDNN cannot pad by itself.
                x = pad_end(act.value())
                act = Sum(self.downsamplers[i](x), "space", self.downsamplers[i].width)
        return self.quant_conv(self.last(self.middle(act))).permute(0, 3, 1, 2).float()


class VaeDecoder(VaeStage):
    """As graphs.VaeDecoder; all but rgb in float32."""

    def __init__(self, vae: AutoencoderKL, dtype: torch.dtype) -> None:
        super().__init__(vae.decoder, dtype)
        self.up = nn.ModuleList(nn.ModuleList(Resnet(r) for r in b.resnets) for b in vae.decoder.up_blocks)
        self.upsamplers = nn.ModuleList(
            Conv(b.upsamplers[0].conv) for b in vae.decoder.up_blocks if b.upsamplers
        )
        self.post_quant_conv = Conv(vae.post_quant_conv)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.post_quant_conv(latent.to(self.dtype).permute(0, 2, 3, 1))
        act = self.middle(Sum(self.conv_in(x), "space", self.conv_in.width))
        for i, resnets in enumerate(self.up):
            for resnet in resnets:
                act = resnet(act, None)
            if i < len(self.upsamplers):
                x = upsample_nearest(act.value())
                act = Sum(self.upsamplers[i](x), "space", self.upsamplers[i].width)
        sample = self.last(act).float()
        return sample.permute(0, 3, 1, 2), pixels_of(sample), sample.mean()
