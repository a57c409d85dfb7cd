"""Sessions of onnxruntime on the GPU, and the memory that they take. Knows nothing of torch: a process that
measures memory starts quickly and has no more of the card than its sessions.

    python gpu_sessions.py PACK WHAT WxHxF    prints GiB of the card, for a pack of Stable Video Diffusion

WHAT is "2 rows" or "1 row" for the core, "decoder 7 frames" at once, or "job" for all graphs open together.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from lower import lower

HAS_CUDA = "CUDAExecutionProvider" in ort.get_available_providers()
RUNS = 3


def open_session(folder: Path, memory_pattern: bool = True, **cuda: str) -> ort.InferenceSession:
    """On the GPU; where onnxruntime knows none, on the CPU with fusions undone."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = memory_pattern
    if not HAS_CUDA:
        return ort.InferenceSession(lower(folder) or folder / "model.onnx", options)
    session = ort.InferenceSession(
        folder / "model.onnx", options, providers=[("CUDAExecutionProvider", cuda)]
    )
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise SystemExit("onnxruntime could not open the CUDA execution provider")
    return session


def used_gib() -> float:
    """Of the whole card, the first that CUDA_VISIBLE_DEVICES names; 0 without one."""
    if shutil.which("nvidia-smi") is None:
        return 0.0
    card = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"
    command = ["nvidia-smi", "-i", card, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]) / 1024


def zeros_for(session: ort.InferenceSession, dims: dict[str, int]) -> dict[str, np.ndarray]:
    """For every input of the session, with the free dimensions by name."""
    shapes = {i.name: [dims.get(dim, dim) for dim in i.shape] for i in session.get_inputs()}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def memory_of(pack: Path, what: str, size: str) -> dict[str, float]:
    """GiB of the card that this process takes when the graphs are open, and after their runs: CUDA context,
    weights and arenas.
    """
    width, height, frames = (int(part) for part in size.split("x"))
    graphs = {"job": ["image_encoder", "vae_encoder", "unet_cond", "unet_core", "vae_decoder"]}
    rows, at_once = 2, 7
    kind, _, number = what.partition(" ")
    if kind == "decoder":
        at_once = int(number.split()[0])
    elif kind != "job":
        rows = int(kind)
    dims = {"batch": rows, "frames": frames, "factors": 1 + rows, "n": at_once}
    dims |= {"latent_height": height // 8, "latent_width": width // 8, "height": height, "width": width}
    before = used_gib()
    names = graphs.get(kind, ["vae_decoder" if kind == "decoder" else "unet_core"])
    sessions = {name: open_session(pack / name, memory_pattern=False) for name in names}
    opened = used_gib()
    for name, session in sessions.items():
        # Not the sample: the engine does not ask for it.
        outputs = ["rgb", "mean"] if name == "vae_decoder" else [session.get_outputs()[0].name]
        for _ in range(RUNS):
            session.run(outputs, zeros_for(session, dims))
    return {"openedGiB": round(opened - before, 2), "usedGiB": round(used_gib() - before, 2)}


def memory_in_own_process(pack: Path, what: str, size: str) -> dict:
    return result_of([__file__, str(pack), what, size])


def result_of(command: list[str]) -> dict:
    """The JSON object that a Python script prints last, or its last words as an error."""
    output = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    try:
        return json.loads(output.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": output.stderr[-300:]}


if __name__ == "__main__":
    if HAS_CUDA and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    print(json.dumps(memory_of(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
