"""The diffusers half of `npm run bench:gpu`: what PyTorch takes for the work that Kinora is measured on.

    python diffusers_side.py PLAN

PLAN is a JSON file that bench/gpu.ts wrote; its fields are the ones read here. Everything runs as people run
it: the pipeline of diffusers, eager, with its own defaults and PIL frames, in FP16 on a GPU and in float32 on
the CPU. Prints one JSON object per line: results, and marks around what needs its peak of GPU memory measured
by the caller. Knows nothing of Kinora's side.
"""

import gc
import importlib.metadata
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from diffusers_families import Family, family_of


def emit(**values: object) -> None:
    """`at` in Unix milliseconds: the caller may read the line later."""
    print(json.dumps({**values, "at": time.time() * 1000}), flush=True)


class Side:
    def __init__(self, plan: dict) -> None:
        self.plan = plan
        self.device = plan["device"]
        self.is_gpu = self.device.startswith("cuda")
        self.dtype = torch.float16 if self.is_gpu else torch.float32
        self.pipe: DiffusionPipeline  # set by load()
        self.family: Family

    # --- tools ----------------------------------------------------------------------------------------------

    def wait(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize(self.device)

    def timed(self, work: Callable[[], object], calls: int = 1) -> float:
        """Milliseconds of one of `calls` calls in a row; the queue is empty before and after."""
        self.wait()
        start = time.perf_counter()
        for _ in range(calls):
            work()
        self.wait()
        return (time.perf_counter() - start) * 1000 / calls

    def median(self, work: Callable[[], object], repeats: int, calls: int = 1) -> float:
        return statistics.median(self.timed(work, calls) for _ in range(repeats))

    def measure(self, part: str, key: str, work: Callable[[], dict]) -> None:
        """Emits what `work` returns, between two marks, or why it failed. Starts without cached memory."""
        gc.collect()
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        emit(mark="begin", part=part, key=key)
        try:
            values = work()
            if self.is_gpu:
                values["allocatedGiB"] = torch.cuda.max_memory_allocated(self.device) / 2**30
        except torch.OutOfMemoryError as error:
            values = {"error": f"out of memory: {error}"[:300]}
        except Exception as error:  # the other measurements still tell something
            values = {"error": f"{type(error).__name__}: {error}"[:300]}
        self.wait()
        emit(part=part, key=key, values=values)

    # --- parts ----------------------------------------------------------------------------------------------

    def load(self) -> None:
        def work() -> dict:
            start = time.perf_counter()
            pipe = DiffusionPipeline.from_pretrained(self.plan["checkpoint"], torch_dtype=self.dtype).to(
                self.device
            )
            self.wait()
            seconds = time.perf_counter() - start
            pipe.set_progress_bar_config(disable=True)
            if hasattr(pipe, "text_encoder") and not hasattr(pipe.text_encoder, "text_model"):
                # transformers 5 has the layers in the model itself; the pipeline looks for them where they
                # were.
                pipe.text_encoder.__dict__["text_model"] = pipe.text_encoder
            self.pipe, self.family = pipe, family_of(pipe, self.plan)
            return {"loadSeconds": seconds}

        self.measure("load", "pipeline", work)
        if not hasattr(self, "pipe"):
            raise SystemExit("the checkpoint could not be loaded")

    def matrix(self) -> None:
        """The card's best matrix throughput: the largest of several square products."""

        def work() -> dict:
            best = {"tflops": 0.0}
            for side in (4096, 8192, 16384) if self.is_gpu else (512, 1024):
                a = torch.randn(side, side, device=self.device, dtype=self.dtype)
                b = torch.randn(side, side, device=self.device, dtype=self.dtype)
                torch.matmul(a, b)
                ms = self.median(partial(torch.matmul, a, b), 5, 10 if self.is_gpu else 1)
                tflops = 2 * side**3 / ms / 1e9
                if tflops > best["tflops"]:
                    best = {"tflops": tflops, "side": side}
            return best

        self.measure("matrix", "peak", work)

    def unet_inputs(self, shape: dict, device: str, dtype: torch.dtype) -> dict:
        def noise(*dims: int) -> torch.Tensor:
            if device == "meta":
                return torch.empty(dims, device=device, dtype=dtype)
            return torch.randn(dims, device=device, dtype=dtype)

        return self.family.unet_inputs(shape, noise)

    def flop(self) -> None:
        """Arithmetic of one step, counted without doing it."""
        with torch.device("meta"):
            unet = type(self.pipe.unet).from_config(self.pipe.unet.config)
        for shape in self.plan["steps"]:
            counter = FlopCounterMode(display=False)
            with counter, torch.no_grad():
                unet(**self.unet_inputs(shape, "meta", torch.float32))
            emit(part="flop", key=shape["key"], values={"tflop": counter.get_total_flops() / 1e12})

    def steps(self) -> None:
        for shape in self.plan["steps"]:
            self.measure("steps", shape["key"], partial(self.step_of, shape))

    @torch.no_grad()
    def step_of(self, shape: dict) -> dict:
        unet, inputs = self.pipe.unet, self.unet_inputs(shape, self.device, self.dtype)

        def step() -> torch.Tensor:
            # As the pipeline's loop: its time includes what the CPU takes to launch the work.
            return unet(**inputs, return_dict=False)[0]

        first = self.timed(step)
        step()
        # Several in a row, because that is how they run in a clip.
        return {"firstMs": first, "ms": self.median(step, self.plan["repeats"], 3)}

    def compiled(self) -> None:
        """Steps with guidance by torch.compile in its default mode, which is what a user would pick."""
        for shape in self.plan["compiled"]:
            self.measure("compiled", shape["key"], partial(self.compiled_step_of, shape))

    @torch.no_grad()
    def compiled_step_of(self, shape: dict) -> dict:
        # For this shape alone: a second one would be compiled with sizes that are not known.
        torch.compiler.reset()
        unet, inputs = torch.compile(self.pipe.unet), self.unet_inputs(shape, self.device, self.dtype)

        def step() -> torch.Tensor:
            return unet(**inputs, return_dict=False)[0]

        seconds = self.timed(step) / 1000
        step()
        return {"compileSeconds": seconds, "ms": self.median(step, self.plan["repeats"], 3)}

    @torch.no_grad()
    def vae(self) -> None:
        vae, factor = self.pipe.vae, self.pipe.vae_scale_factor
        for case in self.plan["vae"]:
            height, width, frames = case["height"], case["width"], case["numFrames"]
            sample = torch.rand(1, 3, height, width, device=self.device, dtype=self.dtype) * 2 - 1
            shape = (frames, vae.config.latent_channels, height // factor, width // factor)
            latents = torch.randn(shape, device=self.device, dtype=self.dtype) / vae.config.scaling_factor
            self.measure("encode", case["key"], partial(self.encode, sample))
            for chunk in case["chunks"]:
                key = f"{case['key']} chunk {chunk}"
                self.measure("decode", key, partial(self.decode, latents, chunk))

    def encode(self, sample: torch.Tensor) -> dict:
        def encode() -> object:
            return self.family.encode(sample)

        return {"firstMs": self.timed(encode), "ms": self.median(encode, self.plan["repeats"])}

    def decode(self, latents: torch.Tensor, chunk: int) -> dict:
        def decode() -> torch.Tensor:
            parts = [self.family.decode(part) for part in latents.split(chunk)]
            # Both sides deliver pixels in main memory.
            return torch.cat(parts).float().cpu()

        before = torch.cuda.memory_allocated(self.device) if self.is_gpu else 0
        values = {"firstMs": self.timed(decode), "ms": self.median(decode, self.plan["repeats"])}
        if self.is_gpu:
            values["extraGiB"] = (torch.cuda.max_memory_allocated(self.device) - before) / 2**30
        return values

    def photo_to_mp4(self, job: dict, steps: int, seed: int) -> dict:
        """One clip as a script of a user makes it, the MP4 by the same ffmpeg and settings as Kinora's."""
        after = {}
        decode_latents = self.pipe.decode_latents

        def noting(latents: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
            self.wait()
            after["at"] = time.perf_counter()
            return decode_latents(latents, *args, **kwargs)

        self.pipe.decode_latents = noting
        try:
            self.wait()
            start = time.perf_counter()
            image = Image.open(self.plan["image"]).convert("RGB")
            frames = self.pipe(
                **self.family.call(job, seed, image),
                width=job["width"],
                height=job["height"],
                num_frames=job["numFrames"],
                num_inference_steps=steps,
                generator=torch.manual_seed(seed),
            ).frames[0]
            generated = time.perf_counter()
            self.write_mp4(frames, job)
            end = time.perf_counter()
        finally:
            del self.pipe.decode_latents
        return {
            "seconds": end - start,
            "exportSeconds": end - generated,
            "lastStepToFileMs": (end - after["at"]) * 1000,
            "denoiseSeconds": after["at"] - start,
        }

    def write_mp4(self, frames: list, job: dict) -> None:
        raw = b"".join(np.asarray(frame).tobytes() for frame in frames)
        subprocess.run(
            [self.plan["ffmpeg"], *job["ffmpegOptions"]], input=raw, check=True, stderr=subprocess.DEVNULL
        )

    def jobs(self, part: str) -> None:
        for job in self.plan[part]:
            self.measure(part, job["key"], partial(self.job, job))

    def job(self, job: dict) -> dict:
        """Seconds of the first clip, of the second, and the medians of those after them."""
        steps, warm = job["numInferenceSteps"], min(self.plan["warmSteps"], job["numInferenceSteps"])
        first = self.photo_to_mp4(job, warm, 1)["seconds"]
        second = self.photo_to_mp4(job, warm, 2)["seconds"]
        values = {"firstSeconds": first, "secondSeconds": second, "warmSteps": warm}
        runs = [self.photo_to_mp4(job, steps, 10 + i) for i in range(job["repeats"])]
        if runs:
            values |= {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        return values | {"runs": len(runs), "steps": steps}


def version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        # A library on the path without package metadata.
        return getattr(__import__(name), "__version__", "unknown")


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    side = Side(plan)
    if side.is_gpu and not torch.cuda.is_available():
        raise SystemExit("this PyTorch finds no CUDA device")
    versions = {name: version(name) for name in ("torch", "diffusers", "transformers")}
    emit(
        part="versions",
        key="python",
        values={
            **versions,
            "python": platform.python_version(),
            "cuda": torch.version.cuda or "none",
            "cudnn": torch.backends.cudnn.version() or 0 if side.is_gpu else 0,
            "device": torch.cuda.get_device_name(side.device)
            if side.is_gpu
            else platform.processor() or "CPU",
        },
    )
    side.load()
    for part in plan["parts"]:
        if part in ("jobs", "large"):
            side.jobs(part)
        else:
            getattr(side, part)()


if __name__ == "__main__":
    main()
