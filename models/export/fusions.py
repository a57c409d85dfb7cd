"""Counts the fused operators of a graph and compares them with the number that the model's modules should
give.

Knows nothing of how the graph was made.
"""

import functools
import operator
from collections import Counter
from pathlib import Path

import onnx
from diffusers.models.activations import GEGLU
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from branch import graphs_of

# What count() calls an attention with a mask: over time, frames of several positions in one sequence.
PACKED = "MultiHeadAttention behind a mask"

# Rows of the table. Operators with and without the residual addition count together.
ROWS = {
    "MultiHeadAttention": ("MultiHeadAttention", PACKED),
    "packed attention": (PACKED,),
    "GroupNorm": ("GroupNorm", "SkipGroupNorm"),
    "SkipLayerNorm": ("SkipLayerNormalization",),
    "BiasSplitGelu": ("BiasSplitGelu",),
    "BiasAdd": ("BiasAdd",),
    "NhwcConv": ("NhwcConv",),
}


def expected_of(modules: list[nn.Module]) -> Counter:
    """The smallest number of each row that the untouched diffusers modules should give."""
    parts = [m for module in modules for m in module.modules()]
    blocks = sum(isinstance(m, BasicTransformerBlock) for m in parts)
    # A 1x1 convolution as a shortcut becomes a matrix product.
    shortcuts = sum(isinstance(m, ResnetBlock2D) and m.conv_shortcut is not None for m in parts)
    return Counter(
        {
            "MultiHeadAttention": sum(isinstance(m, Attention) for m in parts),
            "GroupNorm": sum(isinstance(m, nn.GroupNorm) for m in parts),
            "SkipLayerNorm": sum(isinstance(m, nn.LayerNorm) for m in parts),
            "BiasSplitGelu": sum(isinstance(m, GEGLU) for m in parts),
            "BiasAdd": blocks,
            "NhwcConv": sum(isinstance(m, (nn.Conv2d, nn.Conv3d)) for m in parts) - shortcuts,
        }
    )


def count(path: Path) -> Counter:
    """Operators of an ONNX file by name, those of PACKED apart. Of graphs to choose from, what all have."""
    whole, *branches = graphs_of(onnx.load(path, load_external_data=False))
    counts = [
        Counter(PACKED if is_packed(node) else node.op_type for node in graph.node)
        for graph in branches or [whole]
    ]
    return functools.reduce(operator.and_, counts)


def is_packed(node: onnx.NodeProto) -> bool:
    return node.op_type == "MultiHeadAttention" and len(node.input) > 5 and node.input[5] != ""


def compare(name: str, found: Counter, expected: Counter) -> list[str]:
    """Prints the table of one graph and returns a sentence for each fusion that was lost."""
    lost = []
    print(f"{name:14} {'fusion':20} {'found':>6} {'expected':>9}")
    for row, op_types in ROWS.items():
        number = sum(found[op_type] for op_type in op_types)
        # More than expected is fine: additions before no norm, feed-forwards in parts.
        missing = expected[row] - number
        if number or expected[row]:
            with_skip = found["SkipGroupNorm"] if row == "GroupNorm" else 0
            note = f"  ({with_skip} with the addition inside)" if with_skip else ""
            print(f"{'':14} {row:20} {number:6} {expected[row]:9}{note}")
        if missing > 0:
            lost.append(f"{name}: {missing} of {expected[row]} {row}")
    print(f"{'':14} {'all nodes':20} {sum(found.values()):6}", flush=True)
    return lost
