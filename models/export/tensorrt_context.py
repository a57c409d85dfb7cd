"""Experimental: compiles a `plain` pack with TensorRT. This has not been run.

    python export.py CHECKPOINT OUT --tensorrt-context 512x512x16 [--tensorrt-context 768x768x24]

No TensorRT for onnxruntime was at hand. Tested are the graph that TensorRT gets (standard operators only,
equal to the original on the CPU), that TensorRT-RTX's parser takes it whole with the shapes of its profiles
and its builder makes an engine of it (test_tensorrt.py), and what a failure leaves; not that onnxruntime
compiles and loads engines, nor that they are faster.

The results are EP-context models: engines in FP16 that load in seconds. Run the export on the GPU that will
run the pack, with onnxruntime-gpu and the TensorRT libraries that onnxruntime-node's version asks for: an
engine belongs to one kind of GPU and one version of TensorRT, and the manifest names both. onnxruntime-node
passes only a device id to TensorRT, neither FP16 nor a cache, so all options are fixed here. The UNet's core
and the VAE's decoder become engines for all sizes (width x height x frames) between the smallest and the
largest given one. The graphs that run once per clip stay ONNX and run on CUDA.
"""

import ctypes
import importlib
import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import onnx
import onnxruntime as ort
import torch

from lower import standardise
from progress import step

PROVIDER = "TensorrtExecutionProvider"
# Folder of what was compiled, in that of its graph.
ENGINE = "tensorrt"


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
    """Replaces unet_core and vae_decoder of a finished `plain` pack when both are compiled; before that,
    nothing of it is touched. Returns what the manifest says under `requires`.

    `factor` is the VAE's, `chunk` the most frames that are decoded at once. Raises SystemExit where TensorRT
    is not installed or leaves anything of a graph to another provider.
    """
    require_tensorrt()
    folders = [pack / name for name in ("unet_core", "vae_decoder")]
    try:
        for folder in folders:
            with step(f"{folder.name}: compiling with TensorRT"):
                compile_graph(folder, profiles_of(folder, sizes, factor, chunk))
    except BaseException:
        for folder in folders:
            shutil.rmtree(folder / ENGINE, ignore_errors=True)
        raise
    (pack / "kinora.json").unlink(missing_ok=True)  # no pack until the manifest fits again
    for folder in folders:
        plain = folder.rename(pack / f".{folder.name}-plain")
        (plain / ENGINE).rename(folder)
        shutil.rmtree(plain)
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
    """Raises SystemExit where compiling cannot work. onnxruntime-gpu lists the provider with and without
    TensorRT, so its libraries are loaded here.
    """
    if PROVIDER not in ort.get_available_providers():
        raise SystemExit(
            "--tensorrt-context needs onnxruntime-gpu with TensorRT; this onnxruntime has no such provider"
        )
    for library in tensorrt_libraries():
        try:
            ctypes.CDLL(library)
        except OSError:
            raise SystemExit(
                f"--tensorrt-context needs TensorRT, and {library} cannot be loaded: install tensorrt-cu13 "
                "with pip, or put the folder of its libraries into LD_LIBRARY_PATH"
            ) from None
    if not torch.cuda.is_available():
        raise SystemExit("--tensorrt-context needs the GPU that will run the pack")


def tensorrt_libraries() -> list[str]:
    """Those that onnxruntime's provider asks the loader for."""
    if find_spec("tensorrt") is not None:
        importlib.import_module("tensorrt")  # the package loads its own libraries
    provider = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_tensorrt.so"
    found = (
        re.findall(rb"libnv(?:infer|onnxparser)\.so\.\d+", provider.read_bytes()) if provider.exists() else []
    )
    return sorted({name.decode() for name in found}) or ["libnvinfer.so.10", "libnvonnxparser.so.10"]


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


def compile_graph(folder: Path, profiles: dict[str, str]) -> Path:
    """Compiles folder/model.onnx into an EP-context model in folder/ENGINE, its engine in a file beside it.
    Leaves everything else as it was. Raises SystemExit when TensorRT fails, with nothing new in the folder.
    """
    target = folder / ENGINE
    # The weights are found beside the graph, so this one lies there for a moment, too.
    source = folder / "standard.onnx"
    try:
        target.mkdir()
        model = onnx.load(folder / "model.onnx", load_external_data=False)
        standardise(model)
        onnx.save_model(model, source)
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
            # Otherwise weights are put into the model that the parser gets, which protobuf ends at 2 GiB.
            "trt_load_user_initializer": "1",
            **profiles,
        }
        try:
            ort.InferenceSession(source, options, providers=[(PROVIDER, provider), "CUDAExecutionProvider"])
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            reason = reason.replace(str(source), f"{folder.name}/model.onnx")
            raise SystemExit(f"TensorRT does not compile {folder.name}: {reason}") from None
        require_engines_only(folder.name, target / "model.onnx")
        return target
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    finally:
        source.unlink(missing_ok=True)


def require_engines_only(name: str, path: Path) -> None:
    """Raises SystemExit when TensorRT did not take the whole graph."""
    if not path.exists():
        raise SystemExit(f"TensorRT wrote no context for {name}")
    nodes = onnx.load(path, load_external_data=False).graph.node
    others = sorted({node.op_type for node in nodes if node.op_type not in ("EPContext", "Cast")})
    if others or not any(node.op_type == "EPContext" for node in nodes):
        raise SystemExit(f"TensorRT left parts of {name} to others: {', '.join(others) or 'all of it'}")
