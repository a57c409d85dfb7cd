"""Compares a `cuda` pack with PyTorch on the GPU: equality, speed, memory. Prints one JSON object.

    python verify.py CHECKPOINT PACK          a diffusers folder and the pack that export.py made of it
    python verify.py --random FOLDER          makes both at full size in FOLDER, UNet and VAE only

Per stage, as far as --seconds allows: relative error of the UNet's output at three timesteps against PyTorch in
float32 (and PyTorch's own in FP16, for comparison), milliseconds of one step through `session.run` with host tensors,
as the engine does it, against eager FP16, a whole denoising loop without NaN or infinity, the VAE per chunk size, and
with --profile the GPU time per kernel. The exit status is 1 when an error is above 1e-2 or a number is not finite.
Needs onnxruntime-gpu and a PyTorch with CUDA of the same major version.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from diffusers import AutoencoderKL, I2VGenXLUNet

import export
import make_random
from make_tiny import make_scheduler

TOLERANCE = 1e-2
GUIDANCE_SCALE = 9.0
DEVICE = "cuda"


class Report:
    """Results so far; written after every stage, so that a run which is cut short leaves what it had."""

    def __init__(self, path: Path | None, seconds: float, without: list[str]):
        self.path, self.end, self.values, self.without = path, time.monotonic() + seconds, {}, without

    @contextmanager
    def stage(self, name: str, needs: float = 0):
        """Runs a stage unless fewer seconds are left than it needs; its failure is a result, too."""
        if name in self.without:
            yield None
            return
        left = self.end - time.monotonic()
        result, start = {}, time.monotonic()
        try:
            if left < needs:
                result["skipped"] = f"{left:.0f} s left of {needs:.0f} s"
                yield None
            else:
                yield result
        except Exception as error:  # the other stages still tell something
            result["error"] = f"{type(error).__name__}: {error}"[:600]
        result["seconds"] = round(time.monotonic() - start, 1)
        self.values[name] = result
        print(name, json.dumps(result), flush=True)
        if self.path:
            self.path.write_text(json.dumps(self.values, indent=1))


def relative(value: np.ndarray, reference: torch.Tensor) -> float:
    value = torch.from_numpy(np.ascontiguousarray(value)).to(reference.device).float()
    return float((value - reference.float()).norm() / reference.float().norm())


def milliseconds(run, repeats: int) -> float:
    """Median; `run` must end when the work has ended."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return round(statistics.median(times), 2)


# What onnxruntime-node cannot set; for comparison.
SMALL = {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_use_max_workspace": "0"}


def open_session(folder: Path, memory_pattern: bool = True, **cuda) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = memory_pattern
    session = ort.InferenceSession(
        folder / "model.onnx", options, providers=[("CUDAExecutionProvider", cuda)]
    )
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise SystemExit("onnxruntime could not open the CUDA execution provider")
    return session


def run(session: ort.InferenceSession, values: dict) -> dict:
    feed = {i.name: values[i.name] for i in session.get_inputs()}
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feed)))


def nodes_on_cpu(folder: Path, values: dict) -> dict[str, int]:
    """Operators that ONNX Runtime leaves to the CPU, with their number; copies between the two as "Memcpy"."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = ort.InferenceSession(folder / "model.onnx", options, providers=["CUDAExecutionProvider"])
    run(session, values)
    path = Path(session.end_profiling())
    counts = Counter()
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


def attention_times(run) -> dict[str, int]:
    """GPU microseconds of each attention of one run, the equal ones counted: {"512": 12} is twelve of about 0.5 ms."""
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
    unet, size: int, frames: int, batch: int, tokens: int, seed: int = 0
) -> dict[str, torch.Tensor]:
    """With factors that give the sum of the predictions for all rows."""
    generator = torch.Generator().manual_seed(seed)
    dim, channels, side = unet.config.cross_attention_dim, unet.config.in_channels, size // 8

    def noise(*shape):
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


def eager(unet, inputs: dict, t: int) -> torch.Tensor:
    return export.reference_sample(unet, {**inputs, "timestep": torch.tensor([t])})


def kernel_table(run) -> list[list]:
    """GPU microseconds and calls of the largest kernels of one run, whoever launched them."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as result:
        run()
        torch.cuda.synchronize()
    rows = [(e.key[:110], round(e.self_device_time_total), e.count) for e in result.key_averages()]
    return [list(row) for row in sorted(rows, key=lambda row: -row[1])[:28]]


def verify(report: Report, unet, vae, pack: Path, args) -> None:
    size, frames = args.size, args.frames
    inputs = make_inputs(unet, size, frames, 2, args.tokens)
    shared = {}

    with report.stage("session") as result:
        start = time.monotonic()
        shared["core"] = open_session(pack / "unet_core")
        result["coreSeconds"] = round(time.monotonic() - start, 1)
        shared["cond"] = open_session(pack / "unet_cond")
    cond, core = shared["cond"], shared["core"]

    def features(values: dict) -> dict:
        host = {name: value.numpy() for name, value in values.items()}
        return {**host, **run(cond, host)}

    def step(values: dict, t: int) -> np.ndarray:
        return core.run(["out_sample"], feed_of(core, values, t))[0]

    with report.stage("first run") as result:
        free = torch.cuda.mem_get_info()[0]
        values = features(inputs)
        result["finite"] = bool(np.isfinite(step(values, 981)).all())
        step(values, 981)
        result["coreGiB"] = round((free - torch.cuda.mem_get_info()[0]) / 2**30, 2)

    with report.stage("step time") as result:
        result["ort"] = milliseconds(lambda: step(values, 501), 9)
        eager(unet, inputs, 501)
        eager(unet, inputs, 501)
        result["eager"] = milliseconds(lambda: eager(unet, inputs, 501), 7)
        result["ratio"] = round(result["ort"] / result["eager"], 3)

    with report.stage("error") as result:
        exact = copy_of(unet)
        for t in (981, 501, 1):
            reference = eager(exact, inputs, t)
            result[str(t)] = {
                "ort": relative(step(values, t), reference),
                "eager": relative(eager(unet, inputs, t).numpy(), reference),
            }
        result["ok"] = all(result[str(t)]["ort"] <= TOLERANCE for t in (981, 501, 1))
        del exact
        torch.cuda.empty_cache()

    if args.profile:
        with report.stage("kernels of a step", 15) as result:
            if result is not None:
                result["ort"] = kernel_table(lambda: step(values, 501))
                result["eager"] = kernel_table(lambda: eager(unet, inputs, 501))[:12]

    with report.stage("batch 1", 10) as result:
        if result is not None:
            row = {k: inputs[k][1:] for k in ("image_embeddings", "encoder_hidden_states")}
            alone = features({**inputs, **row, "factors": torch.tensor([0.0, 1.0])})
            second = step({**values, "factors": np.array([0, 0, 1], np.float32)}, 501)
            result["error against batch 2"] = relative(step(alone, 501), torch.from_numpy(second))
            result["ort"] = milliseconds(lambda: step(alone, 501), 7)

    with report.stage("whole loop", 25) as result:
        if result is not None:
            scheduler = make_scheduler()
            scheduler.set_timesteps(args.steps)
            latents = inputs["sample"]
            guidance = np.array([0, 1 - GUIDANCE_SCALE, GUIDANCE_SCALE], np.float32)
            result["finite"] = True
            for t in scheduler.timesteps:
                out = torch.from_numpy(
                    step({**values, "sample": latents.numpy(), "factors": guidance}, int(t))
                )
                result["finite"] &= bool(out.isfinite().all())
                latents = scheduler.step(out, t, latents).prev_sample
            result["steps"], result["latentsStd"] = args.steps, float(latents.std())

    with report.stage("strict SkipLayerNorm", 30) as result:
        if result is not None:
            strict = open_session(pack / "unet_core", enable_skip_layer_norm_strict_mode="1")
            feed = feed_of(core, values, 501)
            strict.run(["out_sample"], feed)
            result["difference"] = relative(
                strict.run(["out_sample"], feed)[0], torch.from_numpy(step(values, 501))
            )
            result["ort"] = milliseconds(lambda: strict.run(["out_sample"], feed), 5)
            del strict

    with report.stage("vae", 25) as result:
        if result is not None and vae is not None:
            side = size // 8
            latent = torch.randn(
                frames, vae.config.latent_channels, side, side, generator=torch.Generator().manual_seed(1)
            )
            latent = latent / vae.config.scaling_factor
            decoder, encoder = open_session(pack / "vae_decoder"), open_session(pack / "vae_encoder")
            with torch.no_grad():
                exact = copy_of(vae)
                reference = exact.decode(latent[:2].to(DEVICE)).sample
                sample = torch.rand(1, 3, size, size) * 2 - 1
                moments = exact.encode(sample.to(DEVICE)).latent_dist.parameters
                del exact
            result["decodeError"] = relative(
                run(decoder, {"latent": latent[:2].numpy()})["sample"], reference
            )
            result["encodeError"] = relative(run(encoder, {"sample": sample.numpy()})["moments"], moments)
            result["encode"] = milliseconds(lambda: run(encoder, {"sample": sample.numpy()}), 5)
            for chunk in (1, 2, 4):

                def decode():
                    for i in range(0, frames, chunk):
                        decoder.run(["rgb", "mean"], {"latent": latent[i : i + chunk].numpy()})

                decode()
                result[f"decode, chunk {chunk}"] = milliseconds(decode, 3)
            del decoder, encoder

    with report.stage("nodes on the CPU", 15) as result:
        if result is not None:
            host = {**values, "timestep": np.array([501])}
            result["unet_core"] = nodes_on_cpu(pack / "unet_core", host)
            result["unet_cond"] = nodes_on_cpu(pack / "unet_cond", host)

    with report.stage("deepcache", 20) as result:
        if result is not None and (pack / "unet_shallow").exists():
            shallow = open_session(pack / "unet_shallow")
            host = {**values, "timestep": np.array([501])}
            result["coreWithFeatures"] = milliseconds(lambda: run(core, host), 5)
            outputs = run(core, host)
            host["deep_features"] = outputs["deep_features"]
            result["difference"] = relative(
                run(shallow, host)["out_sample"], torch.from_numpy(outputs["out_sample"])
            )
            result["shallow"] = milliseconds(lambda: run(shallow, host), 5)
            result["featuresMiB"] = round(outputs["deep_features"].nbytes / 2**20)
            del shallow

    with report.stage("attention kernels", 30) as result:
        if result is not None:
            feed = feed_of(core, values, 501)
            result["default, kernels"] = attention_times(lambda: core.run(["out_sample"], feed))
            for name, kernel in (("flash", 1), ("memory efficient", 2)):
                other = open_session(pack / "unet_core", sdpa_kernel=str(kernel))
                other.run(["out_sample"], feed)
                result[name] = milliseconds(lambda: other.run(["out_sample"], feed), 4)
                result[f"{name}, kernels"] = attention_times(lambda: other.run(["out_sample"], feed))
                del other

    with report.stage("768x768, 24 frames", 40) as result:
        if result is not None:
            large = make_inputs(unet, 768, 24, 2, args.tokens)
            values = features(large)
            result["finite"] = bool(np.isfinite(step(values, 501)).all())
            result["ort"] = milliseconds(lambda: step(values, 501), 3)
            eager(unet, large, 501)
            result["eager"] = milliseconds(lambda: eager(unet, large, 501), 3)
            result["ratio"] = round(result["ort"] / result["eager"], 3)

    with report.stage("memory", 30) as result:
        if result is not None:
            values = features(inputs)
            feed = feed_of(core, values, 501)
            shared.clear()
            del cond, core
            gc.collect()
            torch.cuda.empty_cache()
            for name, pattern, cuda in (
                ("defaults", True, {}),
                ("without memory pattern", False, {}),
                ("without memory pattern, small workspace", False, SMALL),
            ):
                free = torch.cuda.mem_get_info()[0]
                session = open_session(pack / "unet_core", pattern, **cuda)
                used = []
                for _ in range(3):
                    used.append(round((free - torch.cuda.mem_get_info()[0]) / 2**30, 2))
                    session.run(["out_sample"], feed)
                used.append(round((free - torch.cuda.mem_get_info()[0]) / 2**30, 2))
                run_ms = milliseconds(lambda: session.run(["out_sample"], feed), 4)
                result[name] = {"GiB after open and each run": used, "ort": run_ms}
                del session
                gc.collect()


def copy_of(module: torch.nn.Module) -> torch.nn.Module:
    """The same weights in float32."""
    with torch.device("meta"):
        copy = type(module).from_config(module.config)
    copy = copy.to_empty(device=DEVICE).eval()
    copy.load_state_dict(module.state_dict())
    return copy


def make_both(folder: Path, report: Report, with_vae: bool):
    """A UNet and a VAE with random weights on the GPU, and what export.py makes of them in `folder`."""
    options = export.Options(flavour="cuda", checks=False, deepcache=True)
    with report.stage("make_random") as result:
        unet = make_random.make_unet("cuda")
        vae = make_random.make_vae("cuda") if with_vae else None
        result["weights"] = sum(p.numel() for p in unet.parameters())
    with report.stage("export"):
        export.export_unet(unet, folder, 77, options)
        unet.to("cuda")
    if with_vae:
        with report.stage("export vae"):
            export.export_vae(vae, folder, options)
            vae.to("cuda")
    return unet, vae


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("pack", nargs="?", type=Path)
    parser.add_argument("--random", type=Path, metavar="FOLDER")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=77)
    parser.add_argument("--no-vae", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument(
        "--seconds", type=float, default=600, help="stages that would take longer are left out"
    )
    parser.add_argument("--without", default="", help="stages to leave out, with commas between")
    parser.add_argument("--json", type=Path, help="write the results here as well, after every stage")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("verify.py needs a GPU")
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN from PyTorch's packages
    report = Report(args.json, args.seconds, args.without.split(","))
    report.values["device"] = torch.cuda.get_device_name()
    report.values["versions"] = {"torch": torch.__version__, "onnxruntime": ort.__version__}
    if args.random:
        args.random.mkdir(parents=True, exist_ok=True)
        unet, vae = make_both(args.random, report, not args.no_vae)
        pack = args.random
    elif args.pack:
        half = {"torch_dtype": torch.float16}
        unet = I2VGenXLUNet.from_pretrained(args.checkpoint, subfolder="unet", **half).to("cuda").eval()
        vae = AutoencoderKL.from_pretrained(args.checkpoint, subfolder="vae", **half).to("cuda").eval()
        pack = args.pack
    else:
        parser.error("name a checkpoint and a pack, or --random FOLDER")
    verify(report, unet, vae, pack, args)
    print(json.dumps(report.values))
    return 0 if is_good(report.values) else 1


def is_good(values: dict) -> bool:
    stages = [stage for stage in values.values() if isinstance(stage, dict)]
    failed = any("error" in stage and isinstance(stage["error"], str) for stage in stages)
    return not failed and all(stage.get("ok", True) and stage.get("finite", True) for stage in stages)


if __name__ == "__main__":
    sys.exit(main())
