"""Exact rewrites of diffusers modules into forms that the legacy ONNX exporter and ONNX Runtime handle well.

Everything here computes the same numbers as the original module, in an order or a shape that exports:

* temporal convolutions and temporal transformers on 4-D tensors instead of 5-D ones, so that GroupNorm and
  the convolutions stay fusible and never meet a Conv3d;
* attention as one com.microsoft.MultiHeadAttention node, which exists on the CPU and the CUDA execution
  provider and never holds the score matrix on the latter;
* adaptive average pooling to 32x32 as two small matrix products, because the exporter refuses sizes that are
no factor;
* the GEGLU of `transformer_in` as two Linears: ONNX Runtime would fuse it into a kernel without its width.

Knows nothing of files, packs or the split of the UNet (graphs.py).
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, I2VGenXLUNet
from diffusers.models.activations import GEGLU
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, Value, nn
from torch.autograd.function import FunctionCtx

if TYPE_CHECKING:
    from torch.onnx._internal.torchscript_exporter.jit_utils import GraphContext


class MultiHeadAttention(torch.autograd.Function):
    """softmax(q k^T * scale + mask) v over heads; q (B, L, heads*dim), k and v (B, S, heads*dim), mask
    (1, 1, L, S) or none -> (B, L, heads*dim).
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float, *mask: Tensor
    ) -> Tensor:
        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (heads, -1)).transpose(1, 2)

        out = F.scaled_dot_product_attention(split(q), split(k), split(v), *mask, scale=scale)
        return out.transpose(1, 2).flatten(2)

    @staticmethod
    def symbolic(
        g: "GraphContext", q: Value, k: Value, v: Value, heads: int, scale: float, *mask: Value
    ) -> Value:
        # The mask is the sixth input; bias and key_padding_mask come before it.
        absent = [optional_input(g)] * 2 if mask else []
        out = g.op(
            "com.microsoft::MultiHeadAttention", q, k, v, *absent, *mask, num_heads_i=heads, scale_f=scale
        )
        out.setType(q.type())
        return out


def optional_input(g: "GraphContext") -> Value:
    """An input that a node goes without, where others follow it."""
    none = g.op("prim::Constant")
    none.setType(torch._C.OptionalType.ofTensor())
    return none


class OnnxAttention:
    """Attention processor for every Attention of the UNet and the VAE.

    Cross-attention takes encoder_hidden_states once per clip, (B, S, D), and repeats keys and values over the
    frames of hidden_states (B*F, L, C) after projecting them; diffusers repeats before, which costs F times
    the projection.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        if any(x is not None for x in (attention_mask, attn.spatial_norm, attn.norm_cross, attn.norm_q)):
            raise NotImplementedError("this Attention uses a mask or a norm that the export does not know")
        residual = hidden_states
        if attn.group_norm is not None:  # only in the VAE; per position it is the same on 4-D as on 3-D
            hidden_states = attn.group_norm(hidden_states)
        spatial = hidden_states.ndim == 4
        if spatial:
            height, width = hidden_states.shape[2:]
            hidden_states = hidden_states.flatten(2).transpose(1, 2)

        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        if encoder_hidden_states is not None:
            num_frames = hidden_states.shape[0] // context.shape[0]
            k, v = (repeat_over_frames(x, num_frames) for x in (k, v))
        out = MultiHeadAttention.apply(q, k, v, attn.heads, float(attn.scale))
        out = attn.to_out[0](out)

        if spatial:
            out = out.transpose(1, 2).unflatten(2, (height, width))
        if attn.residual_connection:
            out = out + residual
        return out if attn.rescale_output_factor == 1 else out / attn.rescale_output_factor


def repeat_over_frames(x: Tensor, num_frames: int) -> Tensor:
    """(B, ...) -> (B*F, ...), each entry F times in a row."""
    return x[:, None].expand(-1, num_frames, *x.shape[1:]).reshape(-1, *x.shape[1:])


def repeat_clip(x: Tensor, batch: int) -> Tensor:
    """(F, ...) -> (B*F, ...), all entries in order, B times."""
    return x[None].expand(batch, *[-1] * x.ndim).reshape(-1, *x.shape[1:])


def frames_to_rows(x: Tensor, num_frames: int) -> Tensor:
    """(B*F, C, H, W) -> (B, C, F, H*W)."""
    channels, height, width = x.shape[1:]
    return x.reshape(-1, num_frames, channels, height * width).transpose(1, 2)


class TemporalConv4d(nn.Module):
    """TemporalConvLayer: four times GroupNorm, SiLU, convolution over time, with a residual around all of
    them.
    """

    def __init__(self, layer: TemporalConvLayer) -> None:
        super().__init__()
        stages = (layer.conv1, layer.conv2, layer.conv3, layer.conv4)
        self.norms = nn.ModuleList(stage[0] for stage in stages)
        self.convs = nn.ModuleList(conv_over_rows(stage[-1]) for stage in stages)

    def forward(self, hidden_states: Tensor, num_frames: int = 1) -> Tensor:
        shape = hidden_states.shape
        x = identity = frames_to_rows(hidden_states, num_frames)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = conv(F.silu(norm(x)))
        return (identity + x).transpose(1, 2).reshape(shape)


def conv_over_rows(conv3d: nn.Conv3d) -> nn.Conv2d:
    """Conv3d (3, 1, 1) over (B, C, F, H, W) -> Conv2d (3, 1) over (B, C, F, H*W), sharing the weights."""
    if conv3d.kernel_size != (3, 1, 1) or conv3d.padding != (1, 0, 0) or conv3d.stride != (1, 1, 1):
        raise NotImplementedError(f"temporal convolution of another form: {conv3d}")
    conv = nn.Conv2d(conv3d.in_channels, conv3d.out_channels, (3, 1), padding=(1, 0), device="meta")
    conv.weight = nn.Parameter(conv3d.weight.data.squeeze(-1), requires_grad=False)
    conv.bias = nn.Parameter(conv3d.bias.data, requires_grad=False)
    return conv


class TransformerTemporal4d(nn.Module):
    """TransformerTemporalModel: attention over the frames of each pixel."""

    def __init__(self, model: TransformerTemporalModel) -> None:
        super().__init__()
        self.norm, self.proj_in, self.proj_out = model.norm, model.proj_in, model.proj_out
        self.transformer_blocks = model.transformer_blocks

    def forward(
        self,
        hidden_states: Tensor,
        num_frames: int = 1,
        cross_attention_kwargs: dict | None = None,
        return_dict: bool = False,
        **_: object,
    ) -> tuple[Tensor]:
        shape = hidden_states.shape
        channels, height, width = shape[1:]
        x = self.norm(frames_to_rows(hidden_states, num_frames))
        x = self.proj_in(x.permute(0, 3, 2, 1).reshape(-1, num_frames, channels))
        for block in self.transformer_blocks:
            x = block(x)
        x = self.proj_out(x).reshape(-1, height * width, num_frames, channels)
        return (x.permute(0, 2, 3, 1).reshape(shape) + hidden_states,)


class TwoLinearGeglu(nn.Module):
    """GEGLU with value and gate as two Linears, so that no BiasSplitGelu fusion can match."""

    def __init__(self, geglu: GEGLU) -> None:
        super().__init__()
        self.value, self.gate = (nn.Linear(geglu.proj.in_features, 1, device="meta") for _ in range(2))
        weights, biases = geglu.proj.weight.data.chunk(2), geglu.proj.bias.data.chunk(2)
        for linear, weight, bias in zip((self.value, self.gate), weights, biases, strict=True):
            linear.weight = nn.Parameter(weight, requires_grad=False)
            linear.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.value(hidden_states) * F.gelu(self.gate(hidden_states))


def adaptive_avg_pool(x: Tensor, size: int) -> Tensor:
    """nn.AdaptiveAvgPool2d(size) as P_h x P_w^T. Bin i over n is [floor(i*n/size), ceil((i+1)*n/size)): the
    positions p with (p+1)*size > i*n and p*size < (i+1)*n. The exporter writes ten nodes for a division of
    integers."""

    def bins(n: int) -> Tensor:
        index = torch.arange(size)[:, None]
        start = torch.arange(n)[None] * size
        inside = ((start + size > index * n) & (start < (index + 1) * n)).to(x.dtype)
        return inside / inside.sum(dim=1, keepdim=True)

    height, width = x.shape[-2:]
    return bins(height) @ x @ bins(width).T


def replace(module: nn.Module) -> None:
    """Applies the rewrites to every submodule, in place."""
    for name, child in module.named_children():
        if isinstance(child, TemporalConvLayer):
            setattr(module, name, TemporalConv4d(child))
            continue
        replace(child)
        if isinstance(child, TransformerTemporalModel):
            setattr(module, name, TransformerTemporal4d(child))


def rewrite_unet(unet: I2VGenXLUNet) -> None:
    """Prepares an I2VGenXLUNet for export, in place. Its outputs do not change; its own forward can no longer
    run.
    """
    for block in unet.transformer_in.transformer_blocks:
        if not isinstance(block.ff.net[0], GEGLU):
            raise NotImplementedError(f"transformer_in with {type(block.ff.net[0]).__name__}")
        block.ff.net[0] = TwoLinearGeglu(block.ff.net[0])
    unet.set_attn_processor(OnnxAttention())
    replace(unet)


def rewrite_vae(vae: AutoencoderKL) -> None:
    """Prepares an AutoencoderKL for export, in place."""
    vae.set_attn_processor(OnnxAttention())


def attention_nodes(module: nn.Module) -> int:
    """How many MultiHeadAttention nodes the export of this module must hold."""
    return sum(isinstance(m, Attention) for m in module.modules())
