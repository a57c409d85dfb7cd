"""Experimental: compiles a `plain` pack with TensorRT. This has not been run.

    python export.py CHECKPOINT OUT --tensorrt-context 512x512x16 [--tensorrt-context 768x768x24]

No TensorRT libraries were at hand. Tested are the graph that TensorRT gets (standard operators only, equal to
the original on the CPU) and the shapes of its profiles; not that engines compile, load or are faster.

The results are EP-context models: engines in FP16 that load in seconds. Run the export on the GPU that will
run the pack, with onnxruntime-gpu and the TensorRT libraries that onnxruntime-node's version asks for: an
engine belongs to one kind of GPU and one version of TensorRT, and the manifest names both. onnxruntime-node
passes only a device id to TensorRT, neither FP16 nor a cache, so all options are fixed here. The UNet's core
and the VAE's decoder become engines for all sizes (width x height x frames) between the smallest and the
largest given one. The graphs that run once per clip stay ONNX and run on CUDA.
"""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime as ort
import torch

from lower import standardise

PROVIDER = "TensorrtExecutionProvider"


@dataclass(frozen=True)
class Size:
    width: int
    height: int
    frames: int

    @staticmethod
    def parse(text: str) -> "Size":
        match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
        if not match:
            raise SystemExit(f"--tensorrt-context: {text} is not WIDTHxHEIGHTxFRAMES, such as 512x512x16")
        return Size(*map(int, match.groups()))


def compile_pack(pack: Path, sizes: list[Size], factor: int, chunk: int = 2) -> dict:
    """Replaces unet_core and vae_decoder of a finished `plain` pack. Returns what the manifest says under
    `requires`.

    `factor` is the VAE's, `chunk` the most frames that are decoded at once. Raises SystemExit where TensorRT
    is not installed or leaves anything of a graph to another provider.
    """
    require_tensorrt()
    for name in ("unet_core", "vae_decoder"):
        compile_graph(pack / name, profiles_of(pack / name, sizes, factor, chunk))
    return {"device": "tensorrt", "gpu": torch.cuda.get_device_name(), "tensorrt": tensorrt_version()}


def limits_within(limits: dict, sizes: list[Size]) -> dict:
    """The manifest's limits, narrowed to the shapes of the engines: TensorRT refuses others. One range of
    sides holds for width and height. Raises SystemExit if the sizes leave none, as one landscape size does.
    """
    widths, heights = [size.width for size in sizes], [size.height for size in sizes]
    low, high = max(min(widths), min(heights)), min(max(widths), max(heights))
    if low > high:
        raise SystemExit(
            "--tensorrt-context: give every size upright, too, or a square one: 640x384x16 and 384x640x16"
        )
    pixels = [size.width * size.height for size in sizes]
    frames = [size.frames for size in sizes]
    return {
        **limits,
        "side": {"min": low, "max": high},
        "pixels": {"min": min(pixels), "max": max(pixels)},
        "numFrames": {"min": min(frames), "max": max(frames)},
    }


def require_tensorrt() -> None:
    if PROVIDER not in ort.get_available_providers():
        raise SystemExit(
            "--tensorrt-context needs onnxruntime-gpu with TensorRT; this onnxruntime has no such provider"
        )
    if not torch.cuda.is_available():
        raise SystemExit("--tensorrt-context needs the GPU that will run the pack")


def tensorrt_version() -> str:
    try:
        import tensorrt

        return tensorrt.__version__
    except ImportError:
        return "unknown"


def profiles_of(folder: Path, sizes: list[Size], factor: int, chunk: int) -> dict[str, str]:
    """TensorRT's smallest, best and largest shapes of every input with free dimensions. The best is the first
    size.
    """
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    shapes = {
        "min": [shapes_at(graph, size, 1, 1, factor) for size in sizes],
        "opt": [shapes_at(graph, sizes[0], 2, chunk, factor)],
        "max": [shapes_at(graph, size, 2, chunk, factor) for size in sizes],
    }
    profiles = {}
    for kind, choices in shapes.items():
        pick = min if kind == "min" else max
        merged = {
            name: [pick(dims) for dims in zip(*(choice[name] for choice in choices), strict=True)]
            for name in choices[0]
        }
        profiles[f"trt_profile_{kind}_shapes"] = ",".join(
            f"{name}:{'x'.join(map(str, dims))}" for name, dims in merged.items()
        )
    return profiles


def shapes_at(
    graph: onnx.GraphProto, size: Size, batch: int, chunk: int, factor: int
) -> dict[str, list[int]]:
    values = {
        "batch": batch,
        "factors": 1 + batch,
        "n": chunk,
        "frames": size.frames,
        "latent_height": size.height // factor,
        "latent_width": size.width // factor,
    }
    shapes = {}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if any(dim.dim_param for dim in dims):
            shapes[value.name] = [values[dim.dim_param] if dim.dim_param else dim.dim_value for dim in dims]
    return shapes


def compile_graph(folder: Path, profiles: dict[str, str]) -> None:
    """Replaces folder/model.onnx by an EP-context model, its engine in a file beside it."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        source, target = Path(scratch, "source"), Path(scratch, "target")
        source.mkdir()
        target.mkdir()
        model = onnx.load(folder / "model.onnx", load_external_data=False)
        standardise(model)
        for data in folder.glob("*.onnx_data"):
            data.rename(source / data.name)
        onnx.save_model(model, source / "model.onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 2
        provider = {
            "trt_fp16_enable": "1",
            "trt_layer_norm_fp32_fallback": "1",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": ".",  # beside the model, and relative in it
            "trt_dump_ep_context_model": "1",
            "trt_ep_context_file_path": str(target / "model.onnx"),
            "trt_ep_context_embed_mode": "0",
            **profiles,
        }
        ort.InferenceSession(
            source / "model.onnx", options, providers=[(PROVIDER, provider), "CUDAExecutionProvider"]
        )
        require_engines_only(target / "model.onnx")
        shutil.rmtree(folder)
        target.rename(folder)


def require_engines_only(path: Path) -> None:
    """Raises SystemExit when TensorRT did not take the whole graph."""
    if not path.exists():
        raise SystemExit(f"TensorRT wrote no context for {path.parent.name}")
    nodes = onnx.load(path, load_external_data=False).graph.node
    others = sorted({node.op_type for node in nodes if node.op_type not in ("EPContext", "Cast")})
    if others or not any(node.op_type == "EPContext" for node in nodes):
        raise SystemExit(f"TensorRT left parts of the graph to others: {', '.join(others) or 'all of it'}")
