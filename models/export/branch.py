"""One ONNX graph from two, which of them runs being decided by the number of rows.

Knows nothing of what the graphs compute.
"""

import onnx
from onnx import TensorProto, helper


def branch_by_rows(two: onnx.ModelProto, one: onnx.ModelProto, rows_of: str) -> onnx.ModelProto:
    """A graph that runs `two` where the input `rows_of` has two rows, and `one` otherwise. Both have the same
    inputs and outputs.
    """
    numbers = [
        helper.make_node(
            "Constant", [], [name], value=helper.make_tensor(name, TensorProto.INT64, [], [number])
        )
        for name, number in (("zero", 0), ("two", 2))
    ]
    branches = {
        "then_branch": named_apart(two.graph, "two_rows:"),
        "else_branch": named_apart(one.graph, "one_row:"),
    }
    nodes = [
        *numbers,
        helper.make_node("Shape", [rows_of], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Equal", ["rows", "two"], ["are_two"]),
        helper.make_node("If", ["are_two"], [output.name for output in two.graph.output], **branches),
    ]
    graph = helper.make_graph(nodes, two.graph.name, two.graph.input, two.graph.output)
    return helper.make_model(graph, opset_imports=two.opset_import, ir_version=two.ir_version)


def named_apart(graph: onnx.GraphProto, prefix: str) -> onnx.GraphProto:
    """The nodes of `graph`, which read inputs and weights from the graph around them."""
    own = {name for node in graph.node for name in node.output}
    branch = onnx.GraphProto(name=prefix, node=graph.node, output=graph.output)
    for node in branch.node:
        node.name = prefix + node.name
        for names in (node.input, node.output):
            names[:] = [prefix + name if name and name in own else name for name in names]
    for output in branch.output:
        output.name = prefix + output.name
    return branch


def graphs_of(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    """The model's graph, and those that it chooses from."""
    branches = [
        attribute.g for node in model.graph.node if node.op_type == "If" for attribute in node.attribute
    ]
    return [model.graph, *branches]
