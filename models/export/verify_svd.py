"""Compares a `cuda` pack of Stable Video Diffusion with PyTorch on the GPU: equality, speed, memory, jobs.

    python verify_svd.py CHECKPOINT PACK            a diffusers folder and the pack export.py made of it
    python verify_svd.py --random FOLDER            makes both at full size in FOLDER
    python verify_svd.py --random FOLDER --tiny     makes them tiny: a rehearsal, on the CPU if need be

Prints one JSON object, and with --csv FILE writes the table of docs/performance.md. Per stage, as far as
--seconds allows: relative error of the UNet's output at three levels of noise against PyTorch in float32;
milliseconds of one step through `session.run` with host tensors, as the engine does it, against eager FP16
and in turns with it;
the decoder per window; a whole job, from the picture to frames in main memory, against the pipeline of
diffusers, from the same noise; with --compile, step and job with torch.compile; the memory that a process of
its own takes, with what the measurement needs and nothing else, on both sides. The exit status is 1 when an
error is above 1e-2, a number is not finite, or something failed or was left out for want of time.
"""

import argparse
import json
import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from diffusers.configuration_utils import FrozenDict
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    _resize_with_antialiasing,
)
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

import image_encoder
import make_random
import make_tiny_svd
import svd
from gpu_sessions import memory_in_own_process, open_session, result_of, used_gib
from make_golden_svd import levels_of_karras
from measuring import (
    DEVICE,
    HAS_GPU,
    TOLERANCE,
    Report,
    by_turns,
    copy_of,
    give_back,
    kernel_table,
    milliseconds,
    options_for,
    options_of,
    relative,
    report_of,
    wait,
)
from onnx_files import run
from svd_table import write_table

# Of a pack: frames decoded at once, and neighbours on either side.
WINDOW, OVERLAP = 7, 2
# Whose memory is measured.
MEMORY_WINDOWS = (7, 14)
KINDS = (
    UNetSpatioTemporalConditionModel,
    AutoencoderKLTemporalDecoder,
    CLIPVisionModelWithProjection,
)
# What a request gets without options.
FPS, BUCKET, NOISE_AUG, GUIDANCE = 7, 127, 0.02, 3.0


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

    def __init__(self, unet: nn.Module, inputs: dict[str, Tensor], dtype: torch.dtype) -> None:
        self.unet = unet
        pictures, frames = inputs["image_latents"], inputs["sample"].shape[2]
        noisy = inputs["sample"].transpose(1, 2).expand(len(pictures), -1, -1, -1, -1)
        joined = torch.cat([noisy, pictures[:, None].expand(-1, frames, -1, -1, -1)], dim=2)
        self.joined = joined.to(DEVICE, dtype)
        self.timestep = inputs["timestep"].to(DEVICE)[0]
        self.embeddings = inputs["image_embeddings"].to(DEVICE, dtype)
        self.ids = inputs["added_time_ids"].to(DEVICE, dtype).repeat(len(pictures), 1)

    @torch.no_grad()
    def __call__(self) -> Tensor:
        out = self.unet(
            self.joined,
            self.timestep,
            encoder_hidden_states=self.embeddings,
            added_time_ids=self.ids,
            return_dict=False,
        )[0]
        wait()
        return out


class Normalise(CLIPImageProcessor):
    """What is left of the feature extractor's work, the same with every release of transformers."""

    def __call__(self, images: Tensor, **_: object) -> argparse.Namespace:
        mean, std = (
            torch.tensor(values, dtype=images.dtype)[:, None, None]
            for values in (self.image_mean, self.image_std)
        )
        return argparse.Namespace(pixel_values=(images - mean) / std)


def windows_of(frames: int) -> list[range]:
    """As src/inference/pipelines/decode-runs.ts: even windows, whose middles are kept."""
    if frames <= WINDOW:
        return [range(frames)]
    count = math.ceil((frames - 2 * OVERLAP) / (WINDOW - 2 * OVERLAP))
    starts = [round(i * (frames - WINDOW) / (count - 1)) for i in range(count)]
    return [range(start, start + WINDOW) for start in starts]


class Sessions:
    """The graphs of a pack, and a job through them, from a picture to the frames in main memory."""

    def __init__(self, pack: Path) -> None:
        names = ("image_encoder", "vae_encoder", "unet_cond", "unet_core", "vae_decoder")
        self.open = {name: open_session(pack / name, memory_pattern=False) for name in names}

    def job(
        self, pixels: np.ndarray, picture: np.ndarray, noise: np.ndarray, steps: int, scale: float
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """pixels (1, 3, 224, 224), picture (1, 3, H, W) with its noise, noise (1, 4, F, h, w)
        -> latents (1, 4, F, h, w), frames (n, H, W, 3) uint8 of each window.
        """
        frames = noise.shape[2]
        embedding = run(self.open["image_encoder"], {"pixel_values": pixels})["image_embeds"][None]
        latents = run(self.open["vae_encoder"], {"sample": picture})["moments"][:, :4]
        host: dict[str, np.ndarray] = {
            "added_time_ids": np.array([[FPS - 1, BUCKET, NOISE_AUG]], np.float32),
            "image_embeddings": np.concatenate([embedding * 0, embedding]),
            "frame_index": np.arange(frames, dtype=np.float32),
            "image_latents": np.concatenate([latents * 0, latents]),
        }
        host |= run(self.open["unet_cond"], host)
        y = denoise(self.open["unet_core"], {**host, "sample": noise}, steps, scale)
        per_frame = np.ascontiguousarray(y[0].transpose(1, 0, 2, 3)) / 0.18215
        decoder = self.open["vae_decoder"]
        rgb = [
            decoder.run(["rgb", "mean"], {"latent": per_frame[window.start : window.stop]})[0]
            for window in windows_of(frames)
        ]
        return y, rgb


def denoise(
    core: ort.InferenceSession, values: dict[str, np.ndarray], steps: int, scale: float
) -> np.ndarray:
    """Guidance from 1 to `scale`, Euler in the terms of a sample of unit variance; all `steps` levels."""
    y = values["sample"]
    frames = y.shape[2]
    guidance = np.linspace(1, scale, frames)
    sigmas = levels_of_karras(steps)
    names = [value.name for value in core.get_inputs()]
    for sigma, after in zip(sigmas, sigmas[1:], strict=False):
        a, a1 = (1 / (level**2 + 1) ** 0.5 for level in (sigma, after))
        b, b1 = sigma * a, after * a1
        of_sample, of_output = a1 * a + b1 * b, b1 * a - a1 * b
        factors = [np.full(frames, of_sample), of_output * (1 - guidance), of_output * guidance]
        timestep = np.array([0.25 * np.log(sigma)], np.float32)
        step = {**values, "sample": y, "timestep": timestep, "factors": np.array(factors, np.float32)}
        y = core.run(["out_sample"], {name: step[name] for name in names})[0]
    return y


class Verification:
    """The stages and what they share."""

    def __init__(
        self,
        unet: UNetSpatioTemporalConditionModel,
        vae: AutoencoderKLTemporalDecoder,
        encoder: CLIPVisionModelWithProjection,
        pack: Path,
        args: argparse.Namespace,
    ) -> None:
        self.unet, self.vae, self.pack, self.args = unet, vae, pack, args
        self.pipe = StableVideoDiffusionPipeline(
            vae=vae,
            image_encoder=encoder,
            unet=unet,
            scheduler=make_tiny_svd.make_scheduler(),
            feature_extractor=Normalise(),
        )
        self.pipe.set_progress_bar_config(disable=True)
        self.sessions: Sessions  # set by open_sessions

    def open_sessions(self, result: dict) -> None:
        self.sessions = Sessions(self.pack)
        result["usedGiB"] = used_gib()

    @property
    def core(self) -> ort.InferenceSession:
        return self.sessions.open["unet_core"]

    def values(self, inputs: dict[str, Tensor]) -> dict[str, np.ndarray]:
        host = {name: value.numpy() for name, value in inputs.items()}
        return {**host, **run(self.sessions.open["unet_cond"], host)}

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
        give_back()

    def step_time(self, size: tuple[int, int, int], result: dict) -> None:
        inputs = make_inputs(self.unet.config, size, 2)
        values = self.values(inputs)
        first = time.monotonic()
        result["finite"] = bool(np.isfinite(self.step(values)).all())
        result["firstSeconds"] = round(time.monotonic() - first, 1)
        row = self.values(make_inputs(self.unet.config, size, 1))
        eager = Eager(self.unet, inputs, self.unet.dtype)
        self.step(row), eager(), eager()
        ours, our_row = partial(self.step, values), partial(self.step, row)
        result |= by_turns({"ort": ours, "eager": eager, "oneRow": our_row})
        result["ratio"] = round(result["ort"] / result["eager"], 3)

    def kernels(self, size: tuple[int, int, int], result: dict) -> None:
        values = self.values(make_inputs(self.unet.config, size, 2))
        result["ort"] = kernel_table(lambda: self.step(values))

    def job(self, size: tuple[int, int, int], result: dict) -> None:
        """Seconds of a whole job on both sides, and how far their latents are from each other."""
        result["steps"], result["windows"] = self.args.steps, len(windows_of(size[2]))
        self.our_job(size, 1)
        result["ort"], latents = self.our_job(size, self.args.steps)
        result["finite"] = bool(np.isfinite(latents).all())
        self.their_job(size, 1)
        result["eager"], theirs = self.their_job(size, self.args.steps)
        result["ratio"] = round(result["ort"] / result["eager"], 3)
        result["difference"] = relative(latents, theirs.float().cpu().transpose(1, 2))

    def photo(self, size: tuple[int, int, int]) -> Image.Image:
        """A smooth one: what a picture of noise becomes after resizing says little."""
        small = np.random.default_rng(0).integers(0, 255, (9, 16, 3), dtype=np.uint8)
        return Image.fromarray(small).resize(size[:2], Image.Resampling.BICUBIC)

    def noises(self, size: tuple[int, int, int]) -> tuple[torch.Generator, Tensor]:
        """The generator from which the picture's noise is drawn, and the clip's noise (1, F, 4, h, w)."""
        width, height, frames = size
        shape = (1, frames, 4, height // 8, width // 8)
        return torch.Generator().manual_seed(1), torch.randn(
            shape, generator=torch.Generator().manual_seed(2)
        )

    def our_job(self, size: tuple[int, int, int], steps: int) -> tuple[float, np.ndarray]:
        photo, (generator, noise) = self.photo(size), self.noises(size)
        start = time.monotonic()
        processor = self.pipe.video_processor
        pixels = processor.numpy_to_pt(processor.pil_to_numpy(photo)) * 2 - 1
        pixels = (_resize_with_antialiasing(pixels, (224, 224)) + 1) / 2
        pixels = self.pipe.feature_extractor(images=pixels).pixel_values
        picture = processor.preprocess(photo, height=size[1], width=size[0])
        picture = picture + NOISE_AUG * torch.randn(picture.shape, generator=generator)
        latents, _ = self.sessions.job(
            pixels.numpy(), picture.numpy(), noise.transpose(1, 2).contiguous().numpy(), steps, GUIDANCE
        )
        return round(time.monotonic() - start, 2), latents

    def their_job(self, size: tuple[int, int, int], steps: int) -> tuple[float, Tensor]:
        photo, (generator, noise) = self.photo(size), self.noises(size)
        kept: dict[str, Tensor] = {}

        def keep(_pipe: object, _step: int, _timestep: object, values: dict) -> dict:
            kept.update(values)
            return {}

        start = time.monotonic()
        self.pipe(
            photo,
            **{"width": size[0], "height": size[1], "num_frames": size[2], "num_inference_steps": steps},
            **{"min_guidance_scale": 1.0, "max_guidance_scale": GUIDANCE, "decode_chunk_size": WINDOW},
            **{"fps": FPS, "motion_bucket_id": BUCKET, "noise_aug_strength": NOISE_AUG},
            generator=generator,
            latents=noise.to(DEVICE, self.unet.dtype),
            callback_on_step_end=keep,
            output_type="pil",
        )
        wait()
        return round(time.monotonic() - start, 2), kept["latents"]

    def decoder(self, size: tuple[int, int, int], result: dict) -> None:
        """Milliseconds of one window of n frames; both sides deliver pixels in main memory."""
        decoder = self.sessions.open["vae_decoder"]
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
            give_back()

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
        """Step and job by torch.compile in its default mode, for this size alone."""
        torch.compiler.reset()
        eager = Eager(self.unet, make_inputs(self.unet.config, size, 2), self.unet.dtype)
        eager.unet = torch.compile(self.unet)
        start = time.monotonic()
        eager()
        result["compileSeconds"] = round(time.monotonic() - start)
        values = self.values(make_inputs(self.unet.config, size, 2))
        self.step(values), eager(), eager()
        result |= by_turns({"compiled": eager, "ort": partial(self.step, values)})
        self.pipe.unet = eager.unet
        try:
            start = time.monotonic()
            self.their_job(size, 1)
            result["firstJobSeconds"] = round(time.monotonic() - start)
            result["compiledJob"] = self.their_job(size, self.args.steps)[0]
        finally:
            self.pipe.unet = self.unet

    def memory(self, result: dict) -> None:
        """Closes the sessions, so it is the last."""
        del self.sessions
        self.pipe.to("cpu")
        give_back()
        sizes = self.args.sizes.split(",")
        asked = [(what, size) for size in sizes for what in ("2 rows", "1 row", "job")]
        asked += [(f"decoder {n} frames", sizes[0]) for n in MEMORY_WINDOWS]
        for what, size in asked:
            result[f"{size}, {what}"] = memory_in_own_process(self.pack, what, size)

    def memory_of_diffusers(self, result: dict) -> None:
        """After `memory`, which leaves the card to others."""
        script = Path(__file__).with_name("diffusers_memory.py")
        result.update(result_of([str(script), *sys.argv[1:]]))


def verify(report: Report, verification: Verification, args: argparse.Namespace) -> None:
    sizes = {text: parse_size(text) for text in args.sizes.split(",")}
    first = next(iter(sizes.values()))
    report.stage("session", verification.open_sessions)
    report.stage("error", partial(verification.error, first), 15)
    for text, size in sizes.items():
        report.stage(f"step {text}", partial(verification.step_time, size), 20)
    for text, size in sizes.items():
        report.stage(f"job {text}", partial(verification.job, size), 45)
    report.stage("decoder", partial(verification.decoder, first), 30)
    report.stage("deepcache", partial(verification.deepcache, first), 15)
    if args.profile and HAS_GPU:
        report.stage("kernels of a step", partial(verification.kernels, first), 15)
    if args.compile:
        for text, size in sizes.items():
            report.stage(f"compiled {text}", partial(verification.compiled, size), 250)
    report.stage("memory", verification.memory, 60)
    report.stage("memory of diffusers", verification.memory_of_diffusers, 60)


def make_vae(is_tiny: bool) -> AutoencoderKLTemporalDecoder:
    return make_tiny_svd.make_vae() if is_tiny else make_random.make_svd_vae(DEVICE)


def make_encoder(is_tiny: bool) -> CLIPVisionModelWithProjection:
    return make_tiny_svd.make_image_encoder() if is_tiny else make_random.make_image_encoder(DEVICE)


def models_of(args: argparse.Namespace) -> tuple[Any, Any, Any]:
    """UNet, VAE and image encoder. The same device draws the same random weights again."""
    if args.random:
        unet = make_tiny_svd.make_unet() if args.tiny else make_random.make_svd_unet(DEVICE)
        return unet, make_vae(args.tiny), make_encoder(args.tiny)
    unet, vae, encoder = (
        kind.from_pretrained(args.checkpoint, subfolder=part, torch_dtype=torch.float16).to(DEVICE).eval()
        for kind, part in zip(KINDS, svd.FAMILY.parts, strict=True)
    )
    return unet, vae, encoder


def export(unet: UNetSpatioTemporalConditionModel, args: argparse.Namespace) -> None:
    """Random models into their folder."""
    folder, options = args.random, options_for(args)
    folder.mkdir(parents=True, exist_ok=True)
    svd.export_unet(unet, folder, options)
    unet.to(DEVICE)
    svd.export_vae(make_vae(args.tiny), folder, options)  # it changes the VAE
    image_encoder.export_image_encoder(make_encoder(args.tiny).float().cpu(), folder, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", help="WxHxF, with commas between; default 1024x576x14,1024x576x25")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument(
        "--compile", action="store_true", help="beside torch.compile, which takes minutes a size"
    )
    parser.add_argument("--csv", type=Path, help="write the table here as well")
    parser.add_argument("--profile", action="store_true")
    args = options_of(parser)
    args.sizes = args.sizes or ("64x64x8,128x64x4" if args.tiny else "1024x576x14,1024x576x25")
    args.pack = args.random or args.pack
    return args


def main() -> int:
    args = parse()
    report = report_of(args)
    made: dict[str, Any] = {}
    report.stage("models", lambda _: made.update(models=models_of(args)))
    # What an earlier run exported is left as it is.
    if args.random and not (args.random / "image_encoder" / "model.onnx").exists():
        report.stage("export", lambda _: export(made["models"][0], args))
    unet, vae, encoder = made["models"]
    verify(report, Verification(unet, vae, encoder, args.pack, args), args)
    if args.csv:
        write_table(args.csv, report.values, args.sizes.split(","))
    print(json.dumps(report.values))
    return 0 if report.is_good() else 1


if __name__ == "__main__":
    sys.exit(main())
