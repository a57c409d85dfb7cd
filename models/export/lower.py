"""Rewrites ONNX Runtime's own operators of a graph into standard ones.

Two uses: `lower` makes a `cuda` graph run on the CPU, so that it can be checked there (slower and larger than
either flavour); `standardise` takes the attention nodes out of a `plain` graph for TensorRT, which has its
own. Weights stay where they are, in the graph or in the external data file beside it. Knows nothing of torch.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from branch import graphs_of

# A value of a node's attribute.
Attribute = int | float | list[int]

NAME = "lowered.onnx"


def lower(folder: Path) -> Path | None:
    """Writes folder/lowered.onnx beside folder/model.onnx and returns its path; the caller deletes it.
    Returns None if the CPU has every operator of model.onnx.
    """
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    nodes = [node for graph in graphs_of(model) for node in graph.node]
    if not any(node.op_type in REWRITES and node.domain == "com.microsoft" for node in nodes):
        return None
    rewrite_nodes(model, REWRITES)
    onnx.save_model(model, folder / NAME)
    return folder / NAME


def standardise(model: onnx.ModelProto) -> None:
    """Replaces every MultiHeadAttention, in place. Raises ValueError if another operator is not a standard
    one.
    """
    rewrite_nodes(model, {"MultiHeadAttention": multi_head_attention})
    left = {node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    if left:
        raise ValueError(f"no standard form is known of {', '.join(sorted(left))}")


def rewrite_nodes(model: onnx.ModelProto, rewrites: dict) -> None:
    opset = sum(op.version for op in model.opset_import if op.domain == "")
    # The inner ones first: the outer one's nodes are copied, and they with them.
    for graph in reversed(graphs_of(model)):
        builder = Builder(opset)
        for node in graph.node:
            rewrite = rewrites.get(node.op_type) if node.domain == "com.microsoft" else None
            if rewrite is None:
                builder.nodes.append(node)
            else:
                rewrite(builder, node)
        del graph.node[:]
        graph.node.extend(builder.nodes)
        graph.initializer.extend(builder.initializers)


class Builder:
    def __init__(self, opset: int) -> None:
        if opset < 15:
            raise ValueError(f"opset {opset} lacks CastLike")
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.count = 0

    def constant(self, value: np.ndarray) -> str:
        self.count += 1
        name = f"lowered_constant_{self.count}"
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def op(self, op_type: str, *inputs: str, output: str | None = None, **attributes: Attribute) -> str:
        self.count += 1
        output = output or f"lowered_{self.count}"
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [output], name=f"lowered_node_{self.count}", **attributes)
        )
        return output


def attributes_of(node: onnx.NodeProto) -> dict:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def nhwc_conv(b: Builder, node: onnx.NodeProto) -> None:
    attributes = attributes_of(node)
    x = b.op("Transpose", node.input[0], perm=[0, 3, 1, 2])
    weight = b.op("Transpose", node.input[1], perm=[0, 3, 1, 2])
    out = b.op("Conv", x, weight, *node.input[2:], **attributes)
    b.op("Transpose", out, perm=[0, 2, 3, 1], output=node.output[0])


def normalise(b: Builder, x: str, node: onnx.NodeProto) -> None:
    """GroupNorm of x (N, H, W, C) in float32, cast back to x's type."""
    attributes = attributes_of(node)
    groups = attributes["groups"]
    nchw = b.op("Transpose", b.op("Cast", x, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    flat = b.op("Reshape", nchw, b.constant(np.array([0, groups, -1], np.int64)))
    ones, zeros = (b.constant(np.full(groups, value, np.float32)) for value in (1, 0))
    flat = b.op("InstanceNormalization", flat, ones, zeros, epsilon=attributes["epsilon"])
    nchw = b.op("Reshape", flat, b.op("Shape", nchw))
    out = b.op("Transpose", nchw, perm=[0, 2, 3, 1])
    out = b.op("Add", b.op("Mul", out, node.input[1]), node.input[2])
    if attributes["activation"]:
        out = b.op("Mul", out, b.op("Sigmoid", out))
    b.op("CastLike", out, x, output=node.output[0])


def group_norm(b: Builder, node: onnx.NodeProto) -> None:
    normalise(b, node.input[0], node)


def skip_group_norm(b: Builder, node: onnx.NodeProto) -> None:
    total = b.op("Add", node.input[0], node.input[3])
    if len(node.input) > 4 and node.input[4]:
        total = b.op("Add", total, node.input[4])
    if len(node.output) > 1 and node.output[1]:
        total = b.op("Identity", total, output=node.output[1])
    normalise(b, total, node)


def bias_split_gelu(b: Builder, node: onnx.NodeProto) -> None:
    x = b.op("Add", *node.input)
    value, gate = f"{x}_value", f"{x}_gate"
    b.nodes.append(helper.make_node("Split", [x], [value, gate], axis=-1))
    gate32 = b.op("Cast", gate, to=TensorProto.FLOAT)
    erf = b.op("Erf", b.op("Div", gate32, b.constant(np.float32(2**0.5))))
    gelu = b.op(
        "Mul", b.op("Mul", gate32, b.constant(np.float32(0.5))), b.op("Add", erf, b.constant(np.float32(1)))
    )
    b.op("Mul", value, b.op("CastLike", gelu, gate), output=node.output[0])


def bias_add(b: Builder, node: onnx.NodeProto) -> None:
    b.op("Add", b.op("Add", node.input[0], node.input[1]), node.input[2], output=node.output[0])


def multi_head_attention(b: Builder, node: onnx.NodeProto) -> None:
    attributes = attributes_of(node)
    mask = node.input[5] if len(node.input) == 6 else ""
    if any(node.input[3:5]) or len(node.input) > 6 or "scale" not in attributes:
        raise ValueError(f"{node.name}: attention with a bias, a padding mask or no scale")
    split = b.constant(np.array([0, 0, attributes["num_heads"], -1], np.int64))
    q, k, v = (
        b.op("Transpose", b.op("Reshape", x, split), perm=perm)
        for x, perm in zip(node.input, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=False)
    )
    # Scaled before the product: the scores of FP16 would otherwise overflow first.
    q = b.op("Mul", q, b.constant(np.float32(attributes["scale"])))
    scores = b.op("MatMul", q, k)
    weights = b.op("Softmax", b.op("Add", scores, mask) if mask else scores, axis=-1)
    out = b.op("Transpose", b.op("MatMul", weights, v), perm=[0, 2, 1, 3])
    b.op("Reshape", out, b.constant(np.array([0, 0, -1], np.int64)), output=node.output[0])


# MultiHeadAttention and SkipLayerNormalization have CPU kernels.
REWRITES = {
    "NhwcConv": nhwc_conv,
    "GroupNorm": group_norm,
    "SkipGroupNorm": skip_group_norm,
    "BiasSplitGelu": bias_split_gelu,
    "BiasAdd": bias_add,
}
