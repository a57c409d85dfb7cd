"""Tests what TensorRT gets, by TensorRT-RTX's parser and builder, which need no GPU, and what failures leave.

    pytest test_tensorrt.py             # seconds
    python test_tensorrt.py unet_core   # builds the engine of the UNet's core, too

TensorRT-RTX has wheels for Linux on x64. It is not the TensorRT that onnxruntime loads, so this says that the
graphs and the shapes of their profiles can be parsed and built, and nothing about onnxruntime.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper

import export
import i2vgen_xl
import make_tiny
import tensorrt_context
from lower import standardise
from options import Options
from tensorrt_context import PROVIDER, Size, compile_graph, compile_pack, profiles_of, require_tensorrt

TINY = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "packs" / "tiny"
SIZES = [Size.parse("64x64x3"), Size.parse("128x64x5")]


def build(name: str, engine: bool) -> tuple[Any, Any]:
    """The parsed network of a graph and, with `engine`, its engine for compute capability 8.9."""
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is for Linux on x64")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    model = onnx.load(TINY / name / "model.onnx")
    standardise(model)
    assert parser.parse(model.SerializeToString()), [
        str(parser.get_error(i)) for i in range(parser.num_errors)
    ]

    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    kinds = profiles_of(TINY / name, SIZES, 8, 2)
    shapes = {kind.split("_")[2]: parse_shapes(text) for kind, text in kinds.items()}
    for value in shapes["opt"]:
        profile.set_shape(value, *(shapes[kind][value] for kind in ("min", "opt", "max")))
    assert config.add_optimization_profile(profile) == 0
    # Every input with a free dimension is in the profile, with shapes of its rank.
    for i in range(network.num_inputs):
        value = network.get_input(i)
        if -1 in tuple(value.shape):
            assert all(len(shape) == len(value.shape) for shape in profile.get_shape(value.name))
    if not engine:
        return network, None
    config.num_compute_capabilities = 1
    assert config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    return network, builder.build_serialized_network(network, config)


def parse_shapes(text: str) -> dict[str, tuple[int, ...]]:
    pairs = (part.rsplit(":", 1) for part in text.split(","))
    return {name: tuple(map(int, dims.split("x"))) for name, dims in pairs}


def test_the_core_is_taken_whole() -> None:
    network, _ = build("unet_core", engine=False)
    assert network.num_layers > 5000
    assert [network.get_output(i).name for i in range(network.num_outputs)] == ["out_sample"]


def test_the_decoder_becomes_an_engine() -> None:
    network, engine = build("vae_decoder", engine=True)
    assert network.num_layers > 500
    assert engine is not None and engine.nbytes > 1e6


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """The tiny pack with the weights of its core beside the graph, as at full size."""
    pack = Path(shutil.copytree(TINY, tmp_path / "pack"))
    file = pack / "unet_core" / "model.onnx"
    model = onnx.load(file)
    onnx.save_model(model, file, save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    return pack


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has everything."""
    monkeypatch.setattr(tensorrt_context, "require_tensorrt", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA Test")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def session(asked: list[dict], broken: str = "", op_type: str = "EPContext") -> Callable[..., None]:
    """Stands in for onnxruntime with TensorRT: writes the context that it is asked for."""

    def open_session(source: Path, options: object, providers: list) -> None:
        onnx.load(source)  # finds its weights
        (_, provider), _ = providers
        asked.append(provider)
        if broken and broken in str(source):
            raise RuntimeError(f"Load model from {source} failed: no implementation\nat line 1")
        graph = helper.make_graph([helper.make_node(op_type, [], ["x"])], "g", [], [])
        target = Path(provider["trt_ep_context_file_path"])
        onnx.save_model(helper.make_model(graph), target)
        (target.parent / "engine").write_bytes(b"an engine")

    return open_session


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("broken", ["unet_core", "vae_decoder"])
def test_a_failure_leaves_the_pack_as_it_was(
    pack: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    before = contents(pack)
    monkeypatch.setattr(ort, "InferenceSession", session([], broken))
    with pytest.raises(SystemExit) as error:
        compile_pack(pack, SIZES, 8)
    assert str(error.value) == (
        f"TensorRT does not compile {broken}: Load model from {broken}/model.onnx failed: no implementation"
    )
    assert contents(pack) == before
    assert "unet_core/model.onnx_data" in before


@pytest.mark.parametrize("op_type", ["Conv", ""])
def test_a_graph_that_is_not_taken_whole_is_named(
    pack: Path, monkeypatch: pytest.MonkeyPatch, op_type: str
) -> None:
    before = contents(pack)
    fake = session([], op_type=op_type) if op_type else lambda *_, **__: None
    monkeypatch.setattr(ort, "InferenceSession", fake)
    with pytest.raises(SystemExit, match="TensorRT (left parts of|wrote no context for) unet_core"):
        compile_graph(pack / "unet_core", {})
    assert contents(pack) == before


@pytest.mark.usefixtures("gpu")
def test_what_was_compiled_takes_the_place_of_both_graphs(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict] = []
    monkeypatch.setattr(ort, "InferenceSession", session(asked))
    assert compile_pack(pack, SIZES, 8)["gpu"] == "NVIDIA Test"
    for name in ("unet_core", "vae_decoder"):
        assert sorted(path.name for path in (pack / name).iterdir()) == ["engine", "model.onnx"]
    assert (pack / "unet_cond" / "model.onnx").exists()
    assert not (pack / "kinora.json").exists()  # the exporter writes the one that fits
    # A graph above 2 GiB keeps its weights out of the model that the parser gets.
    assert all(options["trt_load_user_initializer"] == "1" for options in asked)
    assert asked[0]["trt_profile_opt_shapes"].startswith("sample:1x4x3x8x8")


def test_an_export_that_cannot_be_compiled_is_a_plain_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_pack(_checkpoint: str, folder: Path, *_: object) -> dict:
        shutil.copytree(TINY, folder, dirs_exist_ok=True)
        return json.loads((TINY / "kinora.json").read_text())["architecture"]

    def fail(*_: object) -> dict:
        raise SystemExit("TensorRT does not compile unet_core: no reason")

    make_tiny.make_checkpoint(tmp_path / "checkpoint")
    family = replace(i2vgen_xl.FAMILY, write=write_pack)
    monkeypatch.setattr(export, "FAMILIES", (family,))
    monkeypatch.setattr(export, "compile_pack", fail)
    out = tmp_path / "pack"
    with pytest.raises(SystemExit, match=r"no reason; .*pack is a whole pack without engines"):
        export.export_pack(
            str(tmp_path / "checkpoint"), out, make_tiny.TINY, options=Options(tensorrt_sizes=SIZES)
        )
    assert contents(out) == contents(TINY)


def test_missing_libraries_are_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime-gpu lists the provider on every machine."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [PROVIDER, "CPUExecutionProvider"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(SystemExit, match=r"libnvinfer\.so\.\d+ cannot be loaded"):
        require_tensorrt()


if __name__ == "__main__":
    for graph in sys.argv[1:]:
        started = time.monotonic()
        network, engine = build(graph, engine=True)
        size = "no engine" if engine is None else f"an engine of {engine.nbytes / 1e6:.1f} MB"
        print(f"{graph}: {network.num_layers} layers, {size}, {time.monotonic() - started:.0f} s")
