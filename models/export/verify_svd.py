"""Compares a `cuda` pack of Stable Video Diffusion with PyTorch on the GPU: equality, speed, memory.

    python verify_svd.py CHECKPOINT PACK     a diffusers folder and the pack that export.py made of it
    python verify_svd.py --random FOLDER     makes both at full size in FOLDER, UNet and VAE only

Prints one JSON object. Per stage, as far as --seconds allows: relative error of the UNet's output at three
levels of noise against PyTorch in float32, milliseconds of one step through `session.run` with host tensors,
as the engine does it, against eager FP16 and, with --compile, torch.compile; a whole denoising loop without
NaN or infinity; the decoder per window; and the memory that a process of its own takes. The exit status is 1
when an error is above 1e-2 or a number is not finite.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from diffusers.configuration_utils import FrozenDict
from torch import Tensor

import make_random
import svd
import svd_graphs
from make_golden_svd import levels_of_karras
from onnx_files import run
from options import Options
from verify import (
    DEVICE,
    TOLERANCE,
    Report,
    copy_of,
    is_good,
    kernel_table,
    milliseconds,
    open_session,
    relative,
)


def parse_size(text: str) -> tuple[int, int, int]:
    """WxHxF."""
    width, height, frames = (int(part) for part in text.split("x"))
    return width, height, frames


def make_inputs(config: FrozenDict, size: tuple[int, int, int], rows: int) -> dict[str, Tensor]:
    """With factors that give the sum of the predictions; of two rows the first sees no picture."""
    width, height, frames = size
    torch.manual_seed(0)
    inputs = svd.unet_case(config, rows, frames, height // 8, width // 8, 0.25)
    inputs["factors"] = torch.cat([torch.zeros(1, frames), torch.ones(rows, frames)])
    if rows == 2:
        inputs["image_latents"][0] = 0
        inputs["image_embeddings"][0] = 0
    return inputs


class Eager:
    """A forward pass of the untouched UNet as the pipeline makes it, everything on the GPU."""

    def __init__(self, unet: torch.nn.Module, inputs: dict[str, Tensor], dtype: torch.dtype) -> None:
        self.unet = unet
        pictures, frames = inputs["image_latents"], inputs["sample"].shape[2]
        noisy = inputs["sample"].transpose(1, 2).expand(len(pictures), -1, -1, -1, -1)
        joined = torch.cat([noisy, pictures[:, None].expand(-1, frames, -1, -1, -1)], dim=2)
        self.joined = joined.to(DEVICE, dtype)
        self.timestep = inputs["timestep"].to(DEVICE)[0]
        self.embeddings = inputs["image_embeddings"].to(DEVICE, dtype)
        self.ids = inputs["added_time_ids"].to(DEVICE, dtype).expand(len(pictures), -1)

    @torch.no_grad()
    def __call__(self) -> Tensor:
        out = self.unet(self.joined, self.timestep, self.embeddings, self.ids, return_dict=False)[0]
        torch.cuda.synchronize()
        return out


class Verification:
    """The stages and what they share."""

    def __init__(
        self,
        unet: UNetSpatioTemporalConditionModel,
        vae: AutoencoderKLTemporalDecoder,
        pack: Path,
        args: argparse.Namespace,
    ) -> None:
        self.unet, self.vae, self.pack, self.args = unet, vae, pack, args
        # Set by open_sessions.
        self.core: ort.InferenceSession
        self.cond: ort.InferenceSession

    def open_sessions(self, result: dict) -> None:
        start = time.monotonic()
        self.core = open_session(self.pack / "unet_core", memory_pattern=False)
        result["coreSeconds"] = round(time.monotonic() - start, 1)
        self.cond = open_session(self.pack / "unet_cond")

    def values(self, inputs: dict[str, Tensor]) -> dict[str, np.ndarray]:
        host = {name: value.numpy() for name, value in inputs.items()}
        return {**host, **run(self.cond, host)}

    def step(self, values: dict[str, np.ndarray]) -> np.ndarray:
        feed = {i.name: values[i.name] for i in self.core.get_inputs()}
        return self.core.run(["out_sample"], feed)[0]

    def error(self, size: tuple[int, int, int], result: dict) -> None:
        exact = copy_of(self.unet)
        inputs = make_inputs(self.unet.config, size, 2)
        for timestep in (1.6377, 0.2, -1.5536):
            case = {**inputs, "timestep": torch.tensor([timestep])}
            reference = svd.reference_sample(exact, case)
            result[str(timestep)] = {
                "ort": relative(self.step(self.values(case)), reference),
                "eager": relative(svd.reference_sample(self.unet, case).numpy(), reference),
            }
        result["ok"] = all(entry["ort"] <= TOLERANCE for entry in result.values())
        del exact
        torch.cuda.empty_cache()

    def step_time(self, size: tuple[int, int, int], result: dict) -> None:
        inputs = make_inputs(self.unet.config, size, 2)
        values = self.values(inputs)
        first = time.monotonic()
        result["finite"] = bool(np.isfinite(self.step(values)).all())
        result["firstSeconds"] = round(time.monotonic() - first, 1)
        self.step(values)
        result["ort"] = milliseconds(lambda: self.step(values), 7)
        single = make_inputs(self.unet.config, size, 1)
        row = self.values(single)
        self.step(row)
        result["oneRow"] = milliseconds(lambda: self.step(row), 5)
        eager = Eager(self.unet, inputs, self.unet.dtype)
        torch.cuda.reset_peak_memory_stats()
        eager(), eager()
        result["eager"] = milliseconds(eager, 5)
        result["eagerAllocatedGiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        result["ratio"] = round(result["ort"] / result["eager"], 3)

    def kernels(self, size: tuple[int, int, int], result: dict) -> None:
        values = self.values(make_inputs(self.unet.config, size, 2))
        result["ort"] = kernel_table(lambda: self.step(values))

    def whole_loop(self, size: tuple[int, int, int], result: dict) -> None:
        """Guidance from 1 to 3, Euler in the terms of a sample of unit variance."""
        values = self.values(make_inputs(self.unet.config, size, 2))
        sigmas = levels_of_karras(self.args.steps)
        scale = np.linspace(1, 3, size[2])
        y = values["sample"]
        start = time.monotonic()
        for sigma, after in zip(sigmas, sigmas[1:], strict=False):
            a, a1 = (1 / (level**2 + 1) ** 0.5 for level in (sigma, after))
            b, b1 = sigma * a, after * a1
            of_sample, of_output = a1 * a + b1 * b, b1 * a - a1 * b
            factors = [np.full(size[2], of_sample), of_output * (1 - scale), of_output * scale]
            timestep = np.array([0.25 * np.log(sigma)], np.float32)
            y = self.step(
                {**values, "sample": y, "timestep": timestep, "factors": np.array(factors, np.float32)}
            )
        result["loopSeconds"] = round(time.monotonic() - start, 2)
        result["steps"] = self.args.steps
        result["finite"], result["latentsStd"] = bool(np.isfinite(y).all()), float(y.std())

    def decoder(self, size: tuple[int, int, int], result: dict) -> None:
        """Milliseconds of one window of n frames; both sides deliver pixels in main memory."""
        decoder = open_session(self.pack / "vae_decoder", memory_pattern=False)
        for n in (1, 2, 4, 7, 11, 14):
            torch.manual_seed(n)
            latent = torch.randn(n, 4, size[1] // 8, size[0] // 8) / self.vae.config.scaling_factor
            feed = {"latent": latent.numpy()}

            ours = partial(decoder.run, ["rgb", "mean"], feed)
            theirs = partial(self.decode_eagerly, latent)
            ours(), theirs()
            entry = {"ort": milliseconds(ours, 3), "eager": milliseconds(theirs, 3)}
            entry["ratio"] = round(entry["ort"] / entry["eager"], 3)
            if n == 4:
                sample = decoder.run(["sample"], feed)[0]
                exact = copy_of(self.vae)
                with torch.no_grad():
                    reference = exact.decode(latent.to(DEVICE), num_frames=n).sample
                entry["error"] = relative(sample, reference)
                result["ok"] = entry["error"] <= TOLERANCE
                del exact
            result[f"window {n}"] = entry
            torch.cuda.empty_cache()

    @torch.no_grad()
    def decode_eagerly(self, latent: Tensor) -> Tensor:
        half = latent.to(DEVICE, self.vae.dtype)
        return self.vae.decode(half, num_frames=len(latent)).sample.float().cpu()

    def deepcache(self, size: tuple[int, int, int], result: dict) -> None:
        if not (self.pack / "unet_shallow").exists():
            return
        shallow = open_session(self.pack / "unet_shallow", memory_pattern=False)
        values = self.values(make_inputs(self.unet.config, size, 2))
        outputs = run(self.core, values)
        values["deep_features"] = outputs["deep_features"]
        out = run(shallow, values)["out_sample"]
        result["difference"] = relative(out, torch.from_numpy(outputs["out_sample"]))
        result["shallow"] = milliseconds(lambda: run(shallow, values), 3)
        result["featuresMiB"] = round(outputs["deep_features"].nbytes / 2**20)

    def compiled(self, size: tuple[int, int, int], result: dict) -> None:
        eager = Eager(self.unet, make_inputs(self.unet.config, size, 2), self.unet.dtype)
        eager.unet = torch.compile(self.unet)
        start = time.monotonic()
        eager()
        result["compileSeconds"] = round(time.monotonic() - start)
        eager(), eager()
        result["compiled"] = milliseconds(eager, 5)

    def memory(self, result: dict) -> None:
        """Closes the sessions, so it is the last."""
        del self.core, self.cond
        self.unet.to("cpu")
        self.vae.to("cpu")
        gc.collect()
        torch.cuda.empty_cache()
        for text in self.args.sizes.split(","):
            for what in ("2 rows", "1 row"):
                result[f"{text}, {what}"] = memory_of(self.pack, text, what)
        for n in (2, 7, 14):
            result[f"decoder, {n} frames"] = memory_of(
                self.pack, self.args.sizes.split(",")[0], f"decoder {n}"
            )


def memory_of(pack: Path, size: str, what: str) -> dict:
    command = [sys.executable, __file__, "--memory-of", what, "--sizes", size, "-", str(pack)]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(output.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": output.stderr[-300:]}


def used_gib() -> float:
    """Of the whole card."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]) / 1024


def print_memory(pack: Path, what: str, size: tuple[int, int, int]) -> None:
    """GiB of the card that this process takes for one graph: CUDA context, weights and arena."""
    before = used_gib()
    width, height, frames = size
    if what.startswith("decoder"):
        session = open_session(pack / "vae_decoder", memory_pattern=False)
        feed = {"latent": np.zeros((int(what.split()[1]), 4, height // 8, width // 8), np.float32)}
        outputs = ["rgb", "mean"]
    else:
        session, outputs = open_session(pack / "unet_core", memory_pattern=False), ["out_sample"]
        dims = {"batch": int(what.split()[0]), "frames": frames, "factors": 1 + int(what.split()[0])}
        dims |= {"latent_height": height // 8, "latent_width": width // 8}
        shapes = {i.name: [dims.get(dim, dim) for dim in i.shape] for i in session.get_inputs()}
        feed = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    opened = used_gib()
    for _ in range(3):
        session.run(outputs, feed)
    print(json.dumps({"openedGiB": round(opened - before, 2), "usedGiB": round(used_gib() - before, 2)}))


def verify(report: Report, verification: Verification, args: argparse.Namespace) -> None:
    sizes = {text: parse_size(text) for text in args.sizes.split(",")}
    first = next(iter(sizes.values()))
    report.stage("session", verification.open_sessions)
    report.stage("error", partial(verification.error, first), 15)
    for text, size in sizes.items():
        report.stage(f"step {text}", partial(verification.step_time, size), 20)
    report.stage("decoder", partial(verification.decoder, first), 30)
    report.stage("whole loop", partial(verification.whole_loop, list(sizes.values())[-1]), 25)
    report.stage("deepcache", partial(verification.deepcache, first), 15)
    if args.profile:
        report.stage("kernels of a step", partial(verification.kernels, first), 15)
    if args.compile:
        for text, size in sizes.items():
            report.stage(f"compiled {text}", partial(verification.compiled, size), 250)
    report.stage("memory", verification.memory, 60)


def make_both(folder: Path, report: Report) -> tuple[UNetSpatioTemporalConditionModel, Any]:
    """A UNet and a VAE with random weights on the GPU, and what the export makes of them in `folder`."""
    options = Options(flavour="cuda", checks=False, deepcache=True)
    made: dict[str, Any] = {}

    def make(result: dict) -> None:
        made["unet"], made["vae"] = make_random.make_svd_unet("cuda"), make_random.make_svd_vae("cuda")
        result["weights"] = sum(p.numel() for p in made["unet"].parameters())
        result["transformers"] = len(svd_graphs.transformers_of(made["unet"]))

    def export(_: dict) -> None:
        svd.export_unet(made["unet"], folder, options)
        made["unet"].to("cuda")

    def export_vae(_: dict) -> None:
        svd.export_vae(made["vae"], folder, options)
        made["vae"] = make_random.make_svd_vae("cuda")

    report.stage("make_random", make)
    report.stage("export", export)
    report.stage("export vae", export_vae)
    return made["unet"], made["vae"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("pack", nargs="?", type=Path)
    parser.add_argument("--random", type=Path, metavar="FOLDER")
    parser.add_argument("--sizes", default="1024x576x14,1024x576x25", help="WxHxF, with commas between")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument(
        "--compile", action="store_true", help="beside torch.compile, which takes minutes a size"
    )
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--json", type=Path, help="write the results here as well, after every stage")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("verify_svd.py needs a GPU")
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN from PyTorch's packages
    if args.memory_of:
        print_memory(args.pack, args.memory_of, parse_size(args.sizes))
        return 0
    report = Report(args.json, args.seconds, [])
    report.values["device"] = torch.cuda.get_device_name()
    report.values["versions"] = {"torch": torch.__version__, "onnxruntime": ort.__version__}
    if args.random:
        args.random.mkdir(parents=True, exist_ok=True)
        unet, vae = make_both(args.random, report)
        pack = args.random
    elif args.pack:
        half = {"torch_dtype": torch.float16}
        models = (UNetSpatioTemporalConditionModel, AutoencoderKLTemporalDecoder)
        unet, vae = (
            model.from_pretrained(args.checkpoint, subfolder=part, **half).to("cuda").eval()
            for model, part in zip(models, ("unet", "vae"), strict=True)
        )
        pack = args.pack
    else:
        parser.error("name a checkpoint and a pack, or --random FOLDER")
    verify(report, Verification(unet, vae, pack, args), args)
    print(json.dumps(report.values))
    return 0 if is_good(report.values) else 1


if __name__ == "__main__":
    sys.exit(main())
