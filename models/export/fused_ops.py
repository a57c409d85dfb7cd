"""ONNX Runtime's fused CUDA operators (domain com.microsoft) as torch functions.

Each computes the same in PyTorch as in ONNX Runtime and exports as that one node. Exporting the nodes
directly is exact and complete: ONNX Runtime's optimizer matches patterns in a finished graph, finds none of
the 66 attentions of this UNet's core, and depends on the version of torch that traced the graph. Tensors are
channels-last, the layout of these kernels: NHWC if they have four dimensions, (batch, sequence, channels)
otherwise.

Shapes: `reshape` takes constants, where 0 keeps a dimension, and `reshape_like` takes the shape of another
tensor. What neither can say is `shape_of` a small tensor; such a product of a few numbers is all that runs on
the CPU of such a graph.

Knows nothing of diffusers (fused.py) or files.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, Value
from torch.autograd.function import FunctionCtx

if TYPE_CHECKING:
    from torch.onnx._internal.torchscript_exporter.jit_utils import GraphContext

DOMAIN = "com.microsoft"

# The CUDA kernel supports only these widths of one half (contrib_ops/cuda/diffusion/bias_split_gelu_impl.cu).
BIAS_SPLIT_GELU_WIDTHS = (1280, 2560, 5120)


def typed(value: Value, like: Value, rank: int) -> Value:
    """Tells the exporter the type of a custom node's output: `like`'s, of `rank` unknown sizes."""
    value.setType(like.type().with_sizes([None] * rank))
    return value


class _NhwcConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        strides: tuple[int, int],
        pads: tuple[int, int],
    ) -> Tensor:
        out = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), stride=strides, padding=pads)
        return out.permute(0, 2, 3, 1).contiguous()

    @staticmethod
    def symbolic(
        g: "GraphContext",
        x: Value,
        weight: Value,
        strides: tuple[int, int],
        pads: tuple[int, int],
    ) -> Value:
        kernel = weight.type().sizes()[1:3]
        out = g.op(
            f"{DOMAIN}::NhwcConv", x, weight, kernel_shape_i=kernel, strides_i=list(strides),
            pads_i=[*pads, *pads], dilations_i=[1, 1], group_i=1,
        )  # fmt: skip
        return typed(out, x, 4)


def nhwc_conv(
    x: Tensor, weight: Tensor, strides: tuple[int, int] = (1, 1), pads: tuple[int, int] = (0, 0)
) -> Tensor:
    """x (N, H, W, C), weight (M, kH, kW, C) -> (N, H', W', M). A bias is better added afterwards: the node's
    own takes more than twice the time of an Add.
    """
    return _NhwcConv.apply(x, weight, strides, pads)


def _group_norm(x: Tensor, gamma: Tensor, beta: Tensor, groups: int, eps: float, silu: bool) -> Tensor:
    out = F.group_norm(x.permute(0, 3, 1, 2).float(), groups, gamma, beta, eps)
    out = F.silu(out) if silu else out
    return out.permute(0, 2, 3, 1).contiguous().to(x.dtype)


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, gamma: Tensor, beta: Tensor, groups: int, eps: float, silu: bool
    ) -> Tensor:
        return _group_norm(x, gamma, beta, groups, eps, silu)

    @staticmethod
    def symbolic(
        g: "GraphContext", x: Value, gamma: Value, beta: Value, groups: int, eps: float, silu: bool
    ) -> Value:
        out = g.op(
            f"{DOMAIN}::GroupNorm", x, gamma, beta,
            groups_i=groups, epsilon_f=eps, activation_i=int(silu), channels_last_i=1,
        )  # fmt: skip
        return typed(out, x, 4)


def group_norm(x: Tensor, gamma: Tensor, beta: Tensor, groups: int, eps: float, silu: bool) -> Tensor:
    """x (N, H, W, C); gamma and beta (C) float32 always."""
    return _GroupNorm.apply(x, gamma, beta, groups, eps, silu)


class _SkipGroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        skip: Tensor,
        groups: int,
        eps: float,
        silu: bool,
        *bias: Tensor,
    ) -> tuple[Tensor, Tensor]:
        total = x + skip + bias[0] if bias else x + skip
        return _group_norm(total, gamma, beta, groups, eps, silu), total

    @staticmethod
    def symbolic(
        g: "GraphContext",
        x: Value,
        gamma: Value,
        beta: Value,
        skip: Value,
        groups: int,
        eps: float,
        silu: bool,
        *bias: Value,
    ) -> tuple[Value, Value]:
        out, total = g.op(
            f"{DOMAIN}::SkipGroupNorm", x, gamma, beta, skip, *bias, outputs=2,
            groups_i=groups, epsilon_f=eps, activation_i=int(silu), channels_last_i=1,
        )  # fmt: skip
        return typed(out, x, 4), typed(total, x, 4)


def skip_group_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    skip: Tensor,
    bias: Tensor | None,
    groups: int,
    eps: float,
    silu: bool,
) -> tuple[Tensor, Tensor]:
    """skip (N, H, W, C) or (N, 1, 1, C), bias (C) or None -> group_norm(x + skip + bias), x + skip + bias."""
    return _SkipGroupNorm.apply(x, gamma, beta, skip, groups, eps, silu, *([] if bias is None else [bias]))


class _SkipLayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, skip: Tensor, gamma: Tensor, beta: Tensor, eps: float, *bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        total = x + skip + bias[0] if bias else x + skip
        return F.layer_norm(total, tuple(gamma.shape), gamma, beta, eps), total

    @staticmethod
    def symbolic(
        g: "GraphContext", x: Value, skip: Value, gamma: Value, beta: Value, eps: float, *bias: Value
    ) -> tuple[Value, Value]:
        out, mean, inverse, total = g.op(
            f"{DOMAIN}::SkipLayerNormalization", x, skip, gamma, beta, *bias, outputs=4, epsilon_f=eps
        )
        return typed(out, x, 3), typed(total, x, 3)


def skip_layer_norm(
    x: Tensor, skip: Tensor, gamma: Tensor, beta: Tensor, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """x (B, L, C), skip the same or (1, L, C), bias (C) or None -> layer_norm(x + skip + bias), x + skip +
    bias.
    """
    return _SkipLayerNorm.apply(x, skip, gamma, beta, eps, *([] if bias is None else [bias]))


class _BiasSplitGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, bias: Tensor) -> Tensor:
        value, gate = (x + bias).chunk(2, dim=-1)
        return value * F.gelu(gate)

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, bias: Value) -> Value:
        return typed(g.op(f"{DOMAIN}::BiasSplitGelu", x, bias), x, 3)


def bias_split_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """x (B, L, 2C), bias (2C) -> value * gelu(gate) (B, L, C): GEGLU without its Linear."""
    return _BiasSplitGelu.apply(x, bias)


class _BiasAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
        return x + bias + skip

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, bias: Value, skip: Value) -> Value:
        return typed(g.op(f"{DOMAIN}::BiasAdd", x, bias, skip), x, 3)


def bias_add(x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    """x and skip (B, L, C), bias (C) -> their sum."""
    return _BiasAdd.apply(x, bias, skip)


class _MatmulAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, addend: Tensor, share: float) -> Tensor:
        return (x @ weight).reshape(addend.shape) + share * addend

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, weight: Value, addend: Value, share: float) -> Value:
        rows = g.op("Constant", value_t=torch.tensor([-1, weight.type().sizes()[0]]))
        like = g.op("Constant", value_t=torch.tensor([-1, weight.type().sizes()[1]]))
        x, flat = g.op("Reshape", x, rows), g.op("Reshape", addend, like)
        out = g.op("Gemm", x, weight, flat, beta_f=share)
        return typed(g.op("Reshape", out, g.op("Shape", addend)), addend, addend.type().dim())


def matmul_add(x: Tensor, weight: Tensor, addend: Tensor, share: float = 1.0) -> Tensor:
    """x (..., K) @ weight (K, N) + share * addend, which has as many rows, in its shape. One kernel and a
    copy of the addend.
    """
    return _MatmulAdd.apply(x, weight, addend, share)


class _Reshape(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(shape)])

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, shape: tuple[int, ...]) -> Value:
        constant = g.op("Constant", value_t=torch.tensor(shape, dtype=torch.int64))
        return typed(g.op("Reshape", x, constant), x, len(shape))


def reshape(x: Tensor, *shape: int) -> Tensor:
    """ONNX's Reshape: 0 keeps the dimension at that index, one -1 takes the rest."""
    return _Reshape.apply(x, shape)


class _ReshapeLike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, like: Tensor) -> Tensor:
        return x.reshape(like.shape)

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, like: Value) -> Value:
        return typed(g.op("Reshape", x, g.op("Shape", like)), x, like.type().dim())


def reshape_like(x: Tensor, like: Tensor) -> Tensor:
    return _ReshapeLike.apply(x, like)


class _ExpandLike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, like: Tensor) -> Tensor:
        return x.expand(torch.broadcast_shapes(x.shape, like.shape)).contiguous()

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, like: Value) -> Value:
        return typed(g.op("Expand", x, g.op("Shape", like)), x, max(x.type().dim(), like.type().dim()))


def expand_like(x: Tensor, like: Tensor) -> Tensor:
    """Broadcasts x against the shape of `like`, both ways: a dimension of 1 in `like` keeps x's."""
    return _ExpandLike.apply(x, like)


class _SplitEvenly(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, parts: int, axis: int) -> tuple[Tensor, ...]:
        return tuple(part.contiguous() for part in x.chunk(parts, dim=axis))

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, parts: int, axis: int) -> tuple[Value, ...]:
        return tuple(typed(out, x, x.type().dim()) for out in g.op("Split", x, outputs=parts, axis_i=axis))


def split_evenly(x: Tensor, parts: int, axis: int = 0) -> tuple[Tensor, ...]:
    """`parts` tensors of the same size, which must divide x's along the axis."""
    if parts == 1:
        return (x,)
    return _SplitEvenly.apply(x, parts, axis)


class _ShapeOf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, channels: int) -> Tensor:
        return torch.tensor([*x.shape[:-1], channels])

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, channels: int) -> Value:
        rank = x.type().dim()
        widths = g.op("Constant", value_t=torch.tensor([1] * (rank - 1) + [channels]))
        out = g.op("Mul", g.op("Shape", x), widths)
        out.setType(x.type().with_sizes([rank]).with_dtype(torch.int64))
        return out


def shape_of(x: Tensor, channels: int) -> Tensor:
    """x (..., 1) -> the shape (..., channels) for `reshape_to`: numbers, which ONNX Runtime keeps on the CPU
    and multiplies there while the GPU works.
    """
    return _ShapeOf.apply(x, channels)


class _ReshapeTo(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, shape: Tensor) -> Tensor:
        return x.reshape(shape.tolist())

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, shape: Value) -> Value:
        return typed(g.op("Reshape", x, shape), x, shape.type().sizes()[0])


def reshape_to(x: Tensor, shape: Tensor) -> Tensor:
    """`shape` is one of `shape_of`."""
    return _ReshapeTo.apply(x, shape)


class _UpsampleNearest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return (
            F.interpolate(x.permute(0, 3, 1, 2), scale_factor=2.0, mode="nearest")
            .permute(0, 2, 3, 1)
            .contiguous()
        )

    @staticmethod
    def symbolic(g: "GraphContext", x: Value) -> Value:
        scales = g.op("Constant", value_t=torch.tensor([1.0, 2.0, 2.0, 1.0]))
        empty = g.op("Constant", value_t=torch.zeros(0))
        out = g.op(
            "Resize", x, empty, scales,
            mode_s="nearest", coordinate_transformation_mode_s="asymmetric", nearest_mode_s="floor",
        )  # fmt: skip
        return typed(out, x, 4)


def upsample_nearest(x: Tensor) -> Tensor:
    """(N, H, W, C) -> (N, 2H, 2W, C)."""
    return _UpsampleNearest.apply(x)


class _PadEnd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 1, 0, 1))

    @staticmethod
    def symbolic(g: "GraphContext", x: Value) -> Value:
        pads = g.op("Constant", value_t=torch.tensor([0, 0, 0, 0, 0, 1, 1, 0]))
        return typed(g.op("Pad", x, pads), x, 4)


def pad_end(x: Tensor) -> Tensor:
    """(N, H, W, C) -> (N, H + 1, W + 1, C), zeros below and to the right."""
    return _PadEnd.apply(x)


class _CornersToRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, channels: int) -> Tensor:
        n, height, width, _ = x.shape
        rows = x.reshape(n, height, width, 2, 2 * channels).transpose(2, 3)
        return rows.reshape(n, 2 * height, 2 * width, channels)

    @staticmethod
    def symbolic(g: "GraphContext", x: Value, channels: int) -> Value:
        def constant(*values: int) -> Value:
            return g.op("Constant", value_t=torch.tensor(values, dtype=torch.int64))

        out = g.op("Reshape", x, constant(0, 0, 0, 2, 2 * channels))
        out = g.op("Transpose", out, perm_i=[0, 1, 3, 2, 4])  # (N, h, 2, w, 2C)
        # A constant has one unknown size, so a dimension of one keeps the others in their places meanwhile.
        out = g.op("Reshape", out, constant(0, 1, -1, 0, 2 * channels))
        out = g.op("Reshape", out, constant(0, 1, 0, -1, channels))
        return typed(g.op("Squeeze", out, constant(1)), x, 4)


def corners_to_rows(x: Tensor, channels: int) -> Tensor:
    """x (N, h, w, 2*2*C) with two rows and two columns in its channels -> (N, 2h, 2w, C)."""
    return _CornersToRows.apply(x, channels)


class _CutBorder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return x[:, 1:-1, 1:-1].contiguous()

    @staticmethod
    def symbolic(g: "GraphContext", x: Value) -> Value:
        def constant(*values: int) -> Value:
            return g.op("Constant", value_t=torch.tensor(values, dtype=torch.int64))

        return typed(g.op("Slice", x, constant(1, 1), constant(-1, -1), constant(1, 2)), x, 4)


def cut_border(x: Tensor) -> Tensor:
    """(N, H, W, C) -> (N, H - 2, W - 2, C)."""
    return _CutBorder.apply(x)
