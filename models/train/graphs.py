"""What both exports share: networks to ONNX graphs, and their check against PyTorch.

Weights are kept as float16 and cast when a session loads (half the download, no difference in speed); the
check runs against networks whose weights were rounded the same way.
"""

import io
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 20
TOLERANCE = 1e-4


@dataclass
class Graph:
    """What one graph of the pack is traced from."""

    module: nn.Module
    # Example inputs by name, in the order of the module's arguments.
    inputs: dict[str, Tensor]
    outputs: list[str]
    # The free dimensions of inputs and outputs and their names.
    axes: dict[str, dict[int, str]]
    # What the graph must compute, where that is not the module itself.
    reference: Callable[..., Tensor | tuple[Tensor, ...]] | None = None


def trace(graph: Graph) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # the tracer warns of each Python number; check() compares the results
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            buffer,
            input_names=list(graph.inputs),
            output_names=graph.outputs,
            dynamic_axes=graph.axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    # The tracer leaves out inputs that nothing reads; all packs of a family have the same.
    declared = {value.name: value for value in model.graph.input}
    for name, example in graph.inputs.items():
        if name not in declared:
            shape = [graph.axes.get(name, {}).get(axis, size) for axis, size in enumerate(example.shape)]
            kind = TensorProto.INT64 if example.dtype == torch.int64 else TensorProto.FLOAT
            declared[name] = helper.make_tensor_value_info(name, kind, shape)
    del model.graph.input[:]
    model.graph.input.extend(declared[name] for name in graph.inputs)
    return model


def save(model: onnx.ModelProto, path: Path) -> None:
    """Writes a graph, its weights as float16."""
    model = store_half(simplify(model))
    model.producer_name, model.doc_string = "kinora", ""
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Constants folded and nodes without effect left out, which ONNX Runtime would do again at every start.
    Only what every execution provider has is written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        simple = onnx.load(path)
    if any(node.domain for node in simple.graph.node):
        raise SystemExit("simplifying made operators of ONNX Runtime's own")
    standard = [each for each in simple.opset_import if not each.domain]
    del simple.opset_import[:]
    simple.opset_import.extend(standard)
    return simple


def store_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Larger float32 initialisers become float16 with a Cast behind them."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 256:
            continue
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue  # not a rounded weight: tables that must stay exact
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, name + ".half"))
        casts.append(
            helper.make_node("Cast", [name + ".half"], [name], to=TensorProto.FLOAT, name=name + ".cast")
        )
    for i, node in enumerate(casts):
        graph.node.insert(i, node)
    return model


def session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check(name: str, reference: Callable, path: Path, feeds: list[tuple[Tensor, ...]]) -> None:
    """Prints the largest difference between ONNX Runtime and PyTorch over several shapes, relative to the
    output's size. Raises SystemExit above TOLERANCE.
    """
    ort_session = session(path)
    names = [i.name for i in ort_session.get_inputs()]
    worst = 0.0
    for feed in feeds:
        with torch.no_grad():
            expected = reference(*feed)
        expected = expected if isinstance(expected, tuple) else (expected,)
        got = ort_session.run(None, {n: x.numpy() for n, x in zip(names, feed, strict=True)})
        for e, g in zip(expected, got, strict=True):
            if tuple(e.shape) != g.shape:
                raise SystemExit(f"{name}: shape {g.shape} instead of {tuple(e.shape)}")
            difference = (e.double() - torch.from_numpy(g).double()).abs()
            if e.dtype == torch.uint8:
                difference = difference - 1  # PyTorch's number may be just beside a half
            worst = max(worst, float(difference.max() / e.abs().amax().clamp(min=1)))
    print(f"{name}: {path.stat().st_size / 1e6:.2f} MB, differs from PyTorch by {worst:.1e}", flush=True)
    if worst > TOLERANCE:
        raise SystemExit(f"{name} differs from PyTorch by {worst:.1e}")
