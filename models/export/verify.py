"""Compares a `cuda` pack with PyTorch on the GPU: equality, speed, memory. Prints one JSON object.

    python verify.py CHECKPOINT PACK          a diffusers folder and the pack that export.py made of it
    python verify.py --random FOLDER          makes both at full size in FOLDER, UNet and VAE only
    python verify.py --random FOLDER --tiny   makes them tiny: a rehearsal, on the CPU if need be

Per stage, as far as --seconds allows: relative error of the UNet's output at three timesteps against PyTorch
in float32 (and PyTorch's own in FP16, for comparison), milliseconds of one step through `session.run` with
host tensors, as the engine does it, against eager FP16, a whole denoising loop without NaN or infinity, the
VAE per chunk size, with --compile the steps with torch.compile, and with --profile the GPU time per kernel.
The exit status is 1 when an error is above 1e-2, a number is not finite, or something failed or was left out
for want of time. Needs onnxruntime-gpu and a PyTorch with CUDA of the same major version.
"""

import argparse
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from diffusers import AutoencoderKL, I2VGenXLUNet
from torch import Tensor

import i2vgen_xl
import make_random
import make_tiny
from gpu_sessions import open_session, used_gib
from make_tiny import make_scheduler
from measuring import (
    DEVICE,
    HAS_GPU,
    TOLERANCE,
    Report,
    copy_of,
    give_back,
    kernel_table,
    milliseconds,
    options_for,
    options_of,
    relative,
    report_of,
)
from onnx_files import run

GUIDANCE_SCALE = 9.0


# Options that onnxruntime-node cannot set, for comparison.
SMALL = {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_use_max_workspace": "0"}


def nodes_on_cpu(folder: Path, values: dict) -> dict[str, int]:
    """Operators that ONNX Runtime leaves to the CPU and how often; copies between the two as "Memcpy"."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = ort.InferenceSession(folder / "model.onnx", options, providers=["CUDAExecutionProvider"])
    run(session, values)
    path = Path(session.end_profiling())
    counts: Counter[str] = Counter()
    for event in json.loads(path.read_text()):
        args = event.get("args", {})
        op = args.get("op_name", "")
        if event.get("name", "").endswith("_kernel_time"):
            if args.get("provider") == "CPUExecutionProvider" or op.startswith("Memcpy"):
                counts[op] += 1
    path.unlink()
    return dict(counts)


def feed_of(session: ort.InferenceSession, values: dict, t: int) -> dict:
    return {i.name: np.array([t]) if i.name == "timestep" else values[i.name] for i in session.get_inputs()}


def attention_times(run: Callable[[], object]) -> dict[str, int]:
    """GPU microseconds of each attention of one run, the equal ones counted: {"512": 12} is twelve of about
    0.5 ms.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as result:
        run()
        torch.cuda.synchronize()
    times = [
        e.device_time_total
        for e in result.events()
        if any(k in e.name for k in ("sdpa", "flash", "fmha", "attention"))
    ]
    counts = Counter(f"{float(f'{time:.2g}'):g}" for time in times)
    return dict(sorted(counts.items(), key=lambda item: -float(item[0])))


def make_inputs(
    unet: I2VGenXLUNet, size: int, frames: int, batch: int, tokens: int, seed: int = 0
) -> dict[str, Tensor]:
    """With factors that give the sum of the predictions for all rows."""
    generator = torch.Generator().manual_seed(seed)
    dim, channels, side = unet.config.cross_attention_dim, unet.config.in_channels, size // 8

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    first = noise(1, channels, 1, side, side)
    ramp = [torch.full_like(first, k / max(frames - 1, 1)) for k in range(1, frames)]
    image_latents = torch.cat([first, *ramp], dim=2)
    return {
        "fps": torch.tensor([16]),
        "image_latents": image_latents,
        "image_embeddings": torch.cat([torch.zeros(1, 1, dim), noise(1, 1, dim)])[-batch:],
        "encoder_hidden_states": noise(batch, tokens, dim),
        "sample": noise(1, channels, frames, side, side),
        "factors": torch.tensor([0.0] + [1.0] * batch),
    }


def eager(unet: I2VGenXLUNet, inputs: dict, t: int) -> Tensor:
    return i2vgen_xl.reference_sample(unet, {**inputs, "timestep": torch.tensor([t])})


class Verification:
    """The stages, in the order of STAGES, and what they share."""

    def __init__(
        self, unet: I2VGenXLUNet, vae: AutoencoderKL | None, pack: Path, args: argparse.Namespace
    ) -> None:
        self.unet, self.vae, self.pack, self.args = unet, vae, pack, args
        self.inputs = make_inputs(unet, args.size, args.frames, 2, args.tokens)
        # Set by open_sessions and first_run.
        self.core: ort.InferenceSession
        self.cond: ort.InferenceSession
        self.values: dict[str, np.ndarray]

    def features(self, inputs: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """The inputs, and what unet_cond makes of them."""
        host = {name: value.numpy() for name, value in inputs.items()}
        return {**host, **run(self.cond, host)}

    def step(self, values: dict[str, np.ndarray], t: int) -> np.ndarray:
        return self.core.run(["out_sample"], feed_of(self.core, values, t))[0]

    def host(self) -> dict[str, np.ndarray]:
        """All that a core reads at timestep 501."""
        return {**self.values, "timestep": np.array([501])}

    def open_sessions(self, result: dict) -> None:
        start = time.monotonic()
        self.core = open_session(self.pack / "unet_core")
        result["coreSeconds"] = round(time.monotonic() - start, 1)
        self.cond = open_session(self.pack / "unet_cond")

    def first_run(self, result: dict) -> None:
        before = used_gib()
        self.values = self.features(self.inputs)
        result["finite"] = bool(np.isfinite(self.step(self.values, 981)).all())
        self.step(self.values, 981)
        result["coreGiB"] = round(used_gib() - before, 2)

    def step_time(self, result: dict) -> None:
        result["ort"] = milliseconds(lambda: self.step(self.values, 501), 9)
        eager(self.unet, self.inputs, 501)
        eager(self.unet, self.inputs, 501)
        result["eager"] = milliseconds(lambda: eager(self.unet, self.inputs, 501), 7)
        result["ratio"] = round(result["ort"] / result["eager"], 3)

    def error(self, result: dict) -> None:
        exact = copy_of(self.unet)
        for t in (981, 501, 1):
            reference = eager(exact, self.inputs, t)
            result[str(t)] = {
                "ort": relative(self.step(self.values, t), reference),
                "eager": relative(eager(self.unet, self.inputs, t).numpy(), reference),
            }
        result["ok"] = all(result[str(t)]["ort"] <= TOLERANCE for t in (981, 501, 1))
        del exact
        give_back()

    def kernels(self, result: dict) -> None:
        result["ort"] = kernel_table(lambda: self.step(self.values, 501))
        result["eager"] = kernel_table(lambda: eager(self.unet, self.inputs, 501))[:12]

    def batch_1(self, result: dict) -> None:
        row = {name: self.inputs[name][1:] for name in ("image_embeddings", "encoder_hidden_states")}
        alone = self.features({**self.inputs, **row, "factors": torch.tensor([0.0, 1.0])})
        second = self.step({**self.values, "factors": np.array([0, 0, 1], np.float32)}, 501)
        result["error against batch 2"] = relative(self.step(alone, 501), torch.from_numpy(second))
        result["ort"] = milliseconds(lambda: self.step(alone, 501), 7)

    def whole_loop(self, result: dict) -> None:
        scheduler = make_scheduler()
        scheduler.set_timesteps(self.args.steps)
        latents = self.inputs["sample"]
        guidance = np.array([0, 1 - GUIDANCE_SCALE, GUIDANCE_SCALE], np.float32)
        result["finite"] = True
        for t in scheduler.timesteps:
            values = {**self.values, "sample": latents.numpy(), "factors": guidance}
            out = torch.from_numpy(self.step(values, int(t)))
            result["finite"] &= bool(out.isfinite().all())
            latents = scheduler.step(out, t, latents).prev_sample
        result["steps"], result["latentsStd"] = self.args.steps, float(latents.std())

    def strict_skip_layer_norm(self, result: dict) -> None:
        strict = open_session(self.pack / "unet_core", enable_skip_layer_norm_strict_mode="1")
        feed = feed_of(self.core, self.values, 501)
        strict.run(["out_sample"], feed)
        out = strict.run(["out_sample"], feed)[0]
        result["difference"] = relative(out, torch.from_numpy(self.step(self.values, 501)))
        result["ort"] = milliseconds(lambda: strict.run(["out_sample"], feed), 5)

    def vae_times(self, result: dict) -> None:
        vae = self.vae
        if vae is None:
            return
        frames, side = self.args.frames, self.args.size // 8
        shape = (frames, vae.config.latent_channels, side, side)
        latent = torch.randn(shape, generator=torch.Generator().manual_seed(1)) / vae.config.scaling_factor
        decoder, encoder = open_session(self.pack / "vae_decoder"), open_session(self.pack / "vae_encoder")
        with torch.no_grad():
            exact = copy_of(vae)
            reference = exact.decode(latent[:2].to(DEVICE)).sample
            sample = torch.rand(1, 3, self.args.size, self.args.size) * 2 - 1
            moments = exact.encode(sample.to(DEVICE)).latent_dist.parameters
            del exact

        def decode(chunk: int) -> None:
            for first in range(0, frames, chunk):
                decoder.run(["rgb", "mean"], {"latent": latent[first : first + chunk].numpy()})

        picture = {"sample": sample.numpy()}
        result["decodeError"] = relative(run(decoder, {"latent": latent[:2].numpy()})["sample"], reference)
        result["encodeError"] = relative(run(encoder, picture)["moments"], moments)
        result["encode"] = milliseconds(lambda: run(encoder, picture), 5)
        for chunk in (1, 2, 4):
            decode(chunk)
            result[f"decode, chunk {chunk}"] = milliseconds(partial(decode, chunk), 3)

    def cpu_nodes(self, result: dict) -> None:
        result["unet_core"] = nodes_on_cpu(self.pack / "unet_core", self.host())
        result["unet_cond"] = nodes_on_cpu(self.pack / "unet_cond", self.host())

    def deepcache(self, result: dict) -> None:
        if not (self.pack / "unet_shallow").exists():
            return
        shallow, host = open_session(self.pack / "unet_shallow"), self.host()
        result["coreWithFeatures"] = milliseconds(lambda: run(self.core, host), 5)
        outputs = run(self.core, host)
        host["deep_features"] = outputs["deep_features"]
        out = run(shallow, host)["out_sample"]
        result["difference"] = relative(out, torch.from_numpy(outputs["out_sample"]))
        result["shallow"] = milliseconds(lambda: run(shallow, host), 5)
        result["featuresMiB"] = round(outputs["deep_features"].nbytes / 2**20)

    def attention_kernels(self, result: dict) -> None:
        feed = feed_of(self.core, self.values, 501)
        result["default, kernels"] = attention_times(lambda: self.core.run(["out_sample"], feed))
        for name, kernel in (("flash", 1), ("memory efficient", 2)):
            other = open_session(self.pack / "unet_core", sdpa_kernel=str(kernel))
            step = partial(other.run, ["out_sample"], feed)
            step()
            result[name] = milliseconds(step, 4)
            result[f"{name}, kernels"] = attention_times(step)
            del other, step

    def large_inputs(self) -> dict[str, Tensor]:
        side, frames = (int(part) for part in self.args.large.split("x"))
        return make_inputs(self.unet, side, frames, 2, self.args.tokens)

    def larger(self, result: dict) -> None:
        large = self.large_inputs()
        values = self.features(large)
        result["finite"] = bool(np.isfinite(self.step(values, 501)).all())
        result["ort"] = milliseconds(lambda: self.step(values, 501), 5)
        eager(self.unet, large, 501)
        result["eager"] = milliseconds(lambda: eager(self.unet, large, 501), 5)
        result["ratio"] = round(result["ort"] / result["eager"], 3)

    def compiled(self, result: dict) -> None:
        self.compile_for(self.inputs, result)

    def larger_compiled(self, result: dict) -> None:
        self.compile_for(self.large_inputs(), result)

    def compile_for(self, inputs: dict[str, Tensor], result: dict) -> None:
        """A step by torch.compile in its default mode, for these sizes alone."""
        torch.compiler.reset()
        unet = torch.compile(self.unet)
        start = time.monotonic()
        eager(unet, inputs, 501)
        result["compileSeconds"] = round(time.monotonic() - start)
        eager(unet, inputs, 501)
        result["compiled"] = milliseconds(lambda: eager(unet, inputs, 501), 7)

    def memory(self, result: dict) -> None:
        """Closes the sessions, so it is the last."""
        feed = feed_of(self.core, self.features(self.inputs), 501)
        del self.cond, self.core
        gc.collect()
        torch.cuda.empty_cache()
        for name, pattern, cuda in (
            ("defaults", True, {}),
            ("without memory pattern", False, {}),
            ("without memory pattern, small workspace", False, SMALL),
        ):
            free = torch.cuda.mem_get_info()[0]
            session = open_session(self.pack / "unet_core", pattern, **cuda)
            step = partial(session.run, ["out_sample"], feed)
            used = []
            for _ in range(3):
                used.append(round((free - torch.cuda.mem_get_info()[0]) / 2**30, 2))
                step()
            used.append(round((free - torch.cuda.mem_get_info()[0]) / 2**30, 2))
            result[name] = {"GiB after open and each run": used, "ort": milliseconds(step, 4)}
            del session, step
            gc.collect()


# Name, method, and the seconds that it needs. Some run with an option only, and without a GPU none of ON_GPU.
STAGES: list[tuple[str, Callable[[Verification, dict], None], float]] = [
    ("session", Verification.open_sessions, 0),
    ("first run", Verification.first_run, 0),
    ("step time", Verification.step_time, 0),
    ("error", Verification.error, 0),
    ("kernels of a step", Verification.kernels, 15),
    ("batch 1", Verification.batch_1, 10),
    ("whole loop", Verification.whole_loop, 25),
    ("strict SkipLayerNorm", Verification.strict_skip_layer_norm, 30),
    ("vae", Verification.vae_times, 25),
    ("nodes on the CPU", Verification.cpu_nodes, 15),
    ("deepcache", Verification.deepcache, 20),
    ("attention kernels", Verification.attention_kernels, 30),
    ("larger", Verification.larger, 40),
    ("compiled", Verification.compiled, 250),
    ("larger compiled", Verification.larger_compiled, 250),
    ("memory", Verification.memory, 30),
]
ON_GPU = ("kernels of a step", "strict SkipLayerNorm", "nodes on the CPU", "attention kernels", "memory")


def verify(
    report: Report, unet: I2VGenXLUNet, vae: AutoencoderKL | None, pack: Path, args: argparse.Namespace
) -> None:
    verification = Verification(unet, vae, pack, args)
    asked = {"kernels of a step": args.profile, "compiled": args.compile, "larger compiled": args.compile}
    for name, work, needs in STAGES:
        if asked.get(name, True) and (HAS_GPU or name not in ON_GPU):
            report.stage(name, partial(work, verification), needs)


def make_both(args: argparse.Namespace, report: Report) -> tuple[I2VGenXLUNet, AutoencoderKL | None]:
    """A UNet and a VAE with random weights, and what export.py makes of them in the folder."""
    folder, options = args.random, options_for(args)
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, torch.nn.Module] = {}

    def make(result: dict) -> None:
        made["unet"] = make_tiny.make_unet() if args.tiny else make_random.make_unet(DEVICE)
        if not args.no_vae:
            made["vae"] = make_tiny.make_vae() if args.tiny else make_random.make_vae(DEVICE)
        result["weights"] = sum(p.numel() for p in made["unet"].parameters())

    def export_unet(_: dict) -> None:
        i2vgen_xl.export_unet(made["unet"], folder, 77, options)
        made["unet"].to(DEVICE)

    def export_vae(_: dict) -> None:
        i2vgen_xl.export_vae(made["vae"], folder, options)
        made["vae"].to(DEVICE)

    report.stage("make_random", make)
    report.stage("export", export_unet)
    if not args.no_vae:
        report.stage("export vae", export_vae)
    return made["unet"], made.get("vae")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--large", default="768x24", help="side x frames of the step that is measured last")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=77)
    parser.add_argument("--no-vae", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument(
        "--compile", action="store_true", help="beside torch.compile, which takes minutes a size"
    )
    args = options_of(parser)
    report = report_of(args)
    if args.random:
        unet, vae = make_both(args, report)
        pack = args.random
    else:
        half = {"torch_dtype": torch.float16}
        unet = I2VGenXLUNet.from_pretrained(args.checkpoint, subfolder="unet", **half).to(DEVICE).eval()
        vae = AutoencoderKL.from_pretrained(args.checkpoint, subfolder="vae", **half).to(DEVICE).eval()
        pack = args.pack
    verify(report, unet, vae, pack, args)
    print(json.dumps(report.values))
    return 0 if report.is_good() else 1


if __name__ == "__main__":
    sys.exit(main())
