"""ONNX files of a pack: tracing a torch module into one, running it, comparing it with PyTorch.

Knows nothing of what the modules compute.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, ValueInfoProto, helper

from branch import graphs_of
from lower import lower
from progress import step

OPSET = 17
# A protobuf file ends at 2 GB; above half of that the weights go to a file beside the graph.
EXTERNAL_DATA_BYTES = 1_000_000_000
EXTERNAL_DATA_NAME = "model.onnx_data"
# Bytes that every weight in that file is aligned to, for memory maps and copies to the GPU.
ALIGNMENT = 256


def save_graph(
    module: torch.nn.Module, cases: list, folder: Path, dynamic_axes: dict, outputs: list[str] | None = None
) -> None:
    """Traces `module` with the last case's inputs and writes folder/model.onnx. Its outputs are the case's if
    not named.
    """
    inputs, expected = cases[-1]
    folder.mkdir()
    with (
        step(f"{folder.name}: tracing"),
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        warnings.catch_warnings(),
        torch.no_grad(),
    ):
        warnings.simplefilter(
            "ignore"
        )  # the tracer warns of each Python number; check() compares the results
        traced = Path(scratch, "model.onnx")
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(traced),  # above 2 GB the exporter accepts no Path
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs or list(expected),
            dynamic_axes=dynamic_axes,
            custom_opsets={"com.microsoft": 1},
        )
        model = onnx.load(traced)
    external = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > EXTERNAL_DATA_BYTES
    with step(f"{folder.name}: writing"):
        onnx.save_model(
            model,
            folder / "model.onnx",
            save_as_external_data=external,
            all_tensors_to_one_file=True,
            location=EXTERNAL_DATA_NAME,
        )
    if external:
        (folder / EXTERNAL_DATA_NAME).chmod(0o644)  # onnx makes it readable for its owner only


def save_fused(
    module: torch.nn.Module, inputs: dict, outputs: list[str], folder: Path, dynamic_axes: dict
) -> None:
    """Traces a module of fused.py and writes folder/model.onnx, its weights in model.onnx_data beside it."""
    with step(f"{folder.name}: tracing and writing"):
        write_fused(trace_fused(module, inputs, outputs, dynamic_axes), module.state_dict(), folder)


def trace_fused(
    module: torch.nn.Module, inputs: dict, outputs: list[str], dynamic_axes: dict
) -> onnx.ModelProto:
    """Its nodes read weights that the graph does not have yet, by their names in the module.

    The exporter does not see the weights: it would copy, fold and compare them, which takes minutes and three
    times their memory at full size. They go from the module to the file unchanged.
    """
    device = next(module.buffers()).device
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = Path(scratch, "model.onnx")
        values = tuple(value.to(device) for value in inputs.values())
        results = module(*values)
        torch.onnx.export(
            module,
            values,
            str(traced),
            dynamo=False,
            opset_version=OPSET,
            export_params=False,
            do_constant_folding=False,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=dynamic_axes,
            custom_opsets={"com.microsoft": 1},
        )
        model = onnx.load(traced)
    graph = model.graph
    real_inputs = [value for value in graph.input if value.name in inputs]
    del graph.input[:], graph.value_info[:]
    graph.input.extend(real_inputs)
    results = results if isinstance(results, tuple) else (results,)
    for value, result in zip(graph.output, results, strict=True):
        fix_shape(value, result.shape, dynamic_axes[value.name])
    used = names_read(graph) | {value.name for value in graph.output}
    for node in graph.node:
        # ONNX Runtime allocates memory for every output with a name and frees it after its last reader, or at
        # the end of the run if it has none. The unread sums of SkipGroupNorm would take three times the
        # memory of all other activations.
        for i, name in enumerate(node.output):
            if i > 0 and name not in used:
                node.output[i] = ""
    return model


def write_fused(model: onnx.ModelProto, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """folder/model.onnx, and those of `weights` that it reads in model.onnx_data beside it."""
    folder.mkdir()
    used = {name for graph in graphs_of(model) for name in names_read(graph)}
    with (folder / EXTERNAL_DATA_NAME).open("wb") as data:
        for name in sorted(used & weights.keys()):
            model.graph.initializer.append(write_weight(name, weights[name], data))
    onnx.save_model(model, folder / "model.onnx")


def names_read(graph: onnx.GraphProto) -> set[str]:
    return {name for node in graph.node for name in node.input}


def fix_shape(value: ValueInfoProto, shape: torch.Size, free_axes: dict) -> None:
    """Sets the dimensions that are not free: the exporter does not infer shapes through our operators."""
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if axis not in free_axes:
            dim.dim_value = shape[axis]


def write_weight(name: str, weight: torch.Tensor, file: BinaryIO) -> TensorProto:
    """Appends the weight to the file and returns its entry in the graph; small ones stay in the graph."""
    array = weight.detach().contiguous().cpu().numpy()
    tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
    if array.nbytes < 1024:
        tensor.raw_data = array.tobytes()
        return tensor
    file.seek(-file.tell() % ALIGNMENT, 1)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", EXTERNAL_DATA_NAME), ("offset", file.tell()), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    file.write(array.data)
    return tensor


def count_nodes(folder: Path, op_type: str) -> int:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    return sum(node.op_type == op_type for node in model.graph.node)


def check(out: Path, cases: list, names: list[str], tolerance: float, relative: bool = False) -> None:
    """Runs the named graphs one after the other, each fed from the inputs and the outputs before it.

    The tolerance is the largest absolute error, or with `relative` the norm of the error over the norm of the
    result. Raises SystemExit when a graph is not equal.
    """
    with step(f"{names[-1]}: running it beside PyTorch"), ExitStack() as stack:
        sessions = [stack.enter_context(open_session(out / name)) for name in names]
        for inputs, expected in cases:
            values = {name: value.cpu().numpy() for name, value in inputs.items()}
            for session in sessions:
                values |= run(session, values)
            for name, reference in expected.items():
                compare(f"{names[-1]:14} {name}", values[name], reference.cpu().numpy(), tolerance, relative)


def compare(what: str, value: np.ndarray, reference: np.ndarray, tolerance: float, relative: bool) -> None:
    shape = "x".join(map(str, reference.shape))
    if value.shape != reference.shape:
        raise SystemExit(f"{what} has shape {value.shape} instead of {shape}")
    error = float(np.linalg.norm(value - reference) / np.linalg.norm(reference))
    if not relative:
        error = float(np.abs(value - reference).max())
    kind = "relative" if relative else "max"
    print(f"{what} {shape}: {kind} error {error:.1e} (std {reference.std():.2f})", flush=True)
    if not error <= tolerance:
        raise SystemExit(f"{what}: {kind} error {error:.1e} is above {tolerance:.0e}")


def run(session: ort.InferenceSession, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs by name, from those of `values` that the graph reads."""
    feed = {value.name: values[value.name] for value in session.get_inputs()}
    return dict(zip([value.name for value in session.get_outputs()], session.run(None, feed), strict=True))


@contextmanager
def open_session(folder: Path) -> Iterator[ort.InferenceSession]:
    """A session for folder/model.onnx: on the GPU where there is one, otherwise on the CPU with fusions
    undone.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    if torch.cuda.is_available() and "CUDAExecutionProvider" in ort.get_available_providers():
        yield ort.InferenceSession(folder / "model.onnx", options, providers=["CUDAExecutionProvider"])
        return
    lowered = lower(folder)
    try:
        yield ort.InferenceSession(folder / "model.onnx" if lowered is None else lowered, options)
    finally:
        if lowered is not None:
            lowered.unlink()
