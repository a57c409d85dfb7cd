"""Makes the reference numbers that the tests compare Kinora with: diffusers on the tiny checkpoint.

    python make_golden.py CHECKPOINT OUT

CHECKPOINT is the diffusers folder that make_tiny.py wrote; its export is the pack that the tests run.
Everything runs in float32 on the CPU. OUT gets index.json, pictures/*.png and tensors/*;
tests/golden/README.md describes them, and the rules of seeding and variation that are written down there are
the ones of this file. Other files in OUT are left alone.
"""

import argparse
import math
import shutil
import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, I2VGenXLPipeline, I2VGenXLUNet
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTokenizer

from i2vgen_xl import reference_sample
from manifest import NEGATIVE_PROMPT, write_json

# Seeds the sample of the picture's latents, which diffusers draws from the global generator. In Kinora all
# clips of a picture share it.
PICTURE_SEED = 0

# cropMode "compat" is the rounding of diffusers, black border included.
DEFAULTS = {
    "negativePrompt": "",
    "scheduler": "ddim",
    "targetFps": 16,
    "guidanceEnd": 1,
    "featureReuse": 1,
    "cropMode": "compat",
    "decodeChunkSize": 1,
}

PICTURES = {"square": (96, 96), "wide": (150, 100), "tall": (75, 130), "small": (41, 37), "padded": (115, 95)}

LONG_PROMPT = "a majestic waterfall in the misty mountains, golden hour, cinematic, highly detailed, " * 8

PIPELINES: dict[str, dict[str, Any]] = {
    "square-ddim3-g9": dict(
        picture="square",
        prompt="camera slowly zooming in",
        seed=0,
        width=64,
        height=64,
        numFrames=4,
        numInferenceSteps=3,
        guidanceScale=9,
    ),
    "square-ddim50-g9-negative": dict(
        picture="square",
        prompt="the leaves sway in the wind",
        negativePrompt=NEGATIVE_PROMPT,
        seed=8888,
        width=64,
        height=64,
        numFrames=5,
        numInferenceSteps=50,
        guidanceScale=9,
    ),
    "wide-ddim3-g6": dict(
        picture="wide",
        prompt="waves roll onto the beach at sunset",
        seed=42,
        width=128,
        height=64,
        numFrames=5,
        numInferenceSteps=3,
        guidanceScale=6,
        targetFps=8,
    ),
    "tall-ddim3-g1": dict(
        picture="tall",
        prompt="A DANCER, spinning... it's 4K!",
        seed=7,
        width=64,
        height=128,
        numFrames=3,
        numInferenceSteps=3,
        guidanceScale=1,
        targetFps=24,
    ),
    "padded-ddim3-g6-negative": dict(
        picture="padded",
        prompt="a cat 😀 镜头慢慢推近",
        negativePrompt="blurry",
        seed=123456789,
        width=192,
        height=128,
        numFrames=7,
        numInferenceSteps=3,
        guidanceScale=6,
        targetFps=8,
    ),
    "small-ddim3-g9-long-prompt": dict(
        picture="small",
        prompt=LONG_PROMPT,
        seed=2**53 - 1,
        width=64,
        height=64,
        numFrames=3,
        numInferenceSteps=3,
        guidanceScale=9,
    ),
    "one-frame-ddim3-g9": dict(
        picture="wide",
        prompt="",
        seed=5,
        width=64,
        height=64,
        numFrames=1,
        numInferenceSteps=3,
        guidanceScale=9,
    ),
    "wide-dpm25-g9-negative": dict(
        picture="wide",
        prompt="a rocket rising into the night sky",
        negativePrompt=NEGATIVE_PROMPT,
        seed=31337,
        width=128,
        height=64,
        numFrames=5,
        numInferenceSteps=25,
        guidanceScale=9,
        scheduler="dpm++2m",
    ),
    "tall-dpm25-g1": dict(
        picture="tall",
        prompt="snow falling on a quiet village",
        seed=1,
        width=64,
        height=128,
        numFrames=3,
        numInferenceSteps=25,
        guidanceScale=1,
        scheduler="dpm++2m",
    ),
    "square-dpm10-g6": dict(
        picture="square",
        prompt="a flag waving",
        seed=2,
        width=64,
        height=64,
        numFrames=4,
        numInferenceSteps=10,
        guidanceScale=6,
        scheduler="dpm++2m",
        targetFps=8,
    ),
    "square-ddim10-g6-trailing": dict(
        picture="square",
        prompt="camera panning to the left",
        seed=3,
        width=64,
        height=64,
        numFrames=4,
        numInferenceSteps=10,
        guidanceScale=6,
        schedulerConfig={"timestep_spacing": "trailing"},
    ),
}

# Each starts from the final latents of `videoId`, a case above with the same size and number of frames.
VARIATIONS: dict[str, dict[str, Any]] = {
    "variation-subtle-ddim20": dict(
        picture="square",
        prompt="the leaves sway in the wind",
        negativePrompt=NEGATIVE_PROMPT,
        seed=99,
        width=64,
        height=64,
        numFrames=5,
        numInferenceSteps=20,
        guidanceScale=9,
        variation={"videoId": "square-ddim50-g9-negative", "strength": 0.35},
    ),
    "variation-strong-ddim50": dict(
        picture="square",
        prompt="camera slowly zooming out",
        negativePrompt=NEGATIVE_PROMPT,
        seed=100,
        width=64,
        height=64,
        numFrames=5,
        numInferenceSteps=50,
        guidanceScale=9,
        variation={"videoId": "square-ddim50-g9-negative", "strength": 0.7},
    ),
    "variation-strong-dpm25": dict(
        picture="wide",
        prompt="a rocket exploding",
        seed=101,
        width=128,
        height=64,
        numFrames=5,
        numInferenceSteps=25,
        guidanceScale=6,
        scheduler="dpm++2m",
        variation={"videoId": "wide-dpm25-g9-negative", "strength": 0.7},
    ),
}

# Options that the pipeline of diffusers lacks: deep features of an earlier step, guidance off before the end.
SHORTCUTS: dict[str, dict[str, Any]] = {
    "reuse2-ddim20-g9": dict(
        picture="square",
        prompt="camera slowly zooming in",
        negativePrompt=NEGATIVE_PROMPT,
        seed=11,
        width=64,
        height=64,
        numFrames=4,
        numInferenceSteps=20,
        guidanceScale=9,
        featureReuse=2,
    ),
    "reuse3-ddim20-g6-wide": dict(
        picture="wide",
        prompt="waves roll onto the beach",
        seed=12,
        width=128,
        height=64,
        numFrames=5,
        numInferenceSteps=20,
        guidanceScale=6,
        featureReuse=3,
    ),
    "reuse2-dpm25-g9": dict(
        picture="wide",
        prompt="a rocket rising into the night sky",
        negativePrompt=NEGATIVE_PROMPT,
        seed=13,
        width=128,
        height=64,
        numFrames=3,
        numInferenceSteps=25,
        guidanceScale=9,
        scheduler="dpm++2m",
        featureReuse=2,
    ),
    "reuse3-dpm10-g1": dict(
        picture="tall",
        prompt="snow falling on a quiet village",
        seed=14,
        width=64,
        height=128,
        numFrames=3,
        numInferenceSteps=10,
        guidanceScale=1,
        scheduler="dpm++2m",
        featureReuse=3,
    ),
    # Guidance ends at step 13: in the middle of a round of three, and at the second step of a round of two.
    "guidance13of20-ddim-g9": dict(
        picture="square",
        prompt="a flag waving",
        negativePrompt="blurry",
        seed=15,
        width=64,
        height=64,
        numFrames=4,
        numInferenceSteps=20,
        guidanceScale=9,
        guidanceEnd=0.65,
    ),
    "guidance13of20-reuse3-ddim-g9": dict(
        picture="square",
        prompt="a flag waving",
        negativePrompt="blurry",
        seed=15,
        width=64,
        height=64,
        numFrames=4,
        numInferenceSteps=20,
        guidanceScale=9,
        guidanceEnd=0.65,
        featureReuse=3,
    ),
    "guidance13of20-reuse2-dpm-g6": dict(
        picture="wide",
        prompt="a flag waving",
        seed=16,
        width=128,
        height=64,
        numFrames=3,
        numInferenceSteps=20,
        guidanceScale=6,
        scheduler="dpm++2m",
        guidanceEnd=0.65,
        featureReuse=2,
    ),
}


class Golden:
    """The folder of results: one raw little-endian file per tensor, all of them listed in index.json."""

    def __init__(self, out: Path) -> None:
        self.out = out
        for name in ("pictures", "tensors"):
            shutil.rmtree(out / name, ignore_errors=True)
            (out / name).mkdir(parents=True)

    def tensor(self, case: str, name: str, value: Tensor | np.ndarray) -> dict:
        array = np.asarray(value)
        dtype = {"float32": "<f4", "int64": "<i8", "uint8": "u1"}[array.dtype.name]
        path = f"tensors/{case}.{name}.bin"
        array.astype(dtype).tofile(self.out / path)
        return {"file": path, "dtype": array.dtype.name, "dims": list(array.shape)}

    def tensors(self, case: str, values: dict) -> dict:
        return {name: self.tensor(case, name, value) for name, value in values.items()}


def make_pictures(folder: Path) -> None:
    """Smooth colours, sharp edges and a little noise: flat pictures would hide errors of resampling."""
    rng = np.random.default_rng(0)
    for name, (width, height) in PICTURES.items():
        y, x = np.mgrid[0:height, 0:width] / max(width, height)
        planes = [np.sin(2 * np.pi * (fx * x + fy * y + p)) for fx, fy, p in rng.uniform(0.3, 2.5, (3, 3))]
        pixels = 127 + 90 * np.stack(planes, -1)
        left, top, side = width // 5, height // 4, min(width, height) // 3
        pixels[top : top + side, left : left + side] = rng.uniform(0, 255, 3)
        pixels += rng.normal(0, 12, pixels.shape)
        Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(
            folder / f"{name}.png", optimize=True
        )


def make_scheduler(pipe: I2VGenXLPipeline, case: dict) -> DDIMScheduler | DPMSolverMultistepScheduler:
    config = {**pipe.scheduler.config, **case.get("schedulerConfig", {})}
    if case["scheduler"] == "dpm++2m":
        config["timestep_spacing"] = "trailing"
    cls = {"ddim": DDIMScheduler, "dpm++2m": DPMSolverMultistepScheduler}[case["scheduler"]]
    return cls.from_config(config)


def reference_latents(pipe: I2VGenXLPipeline, case: dict, image: Image.Image) -> Tensor:
    """The pipeline of diffusers itself: final latents (1, C, F, h, w).

    The global generator feeds latent_dist.sample() and nothing else, `generator` feeds x_T.
    """
    torch.manual_seed(PICTURE_SEED)
    return pipe(
        prompt=case["prompt"],
        negative_prompt=case["negativePrompt"],
        image=image,
        width=case["width"],
        height=case["height"],
        target_fps=case["targetFps"],
        num_frames=case["numFrames"],
        num_inference_steps=case["numInferenceSteps"],
        guidance_scale=case["guidanceScale"],
        generator=torch.Generator("cpu").manual_seed(case["seed"]),
        output_type="latent",
    ).frames


@torch.no_grad()
def own_latents(
    pipe: I2VGenXLPipeline, case: dict, image: Image.Image, start_from: Tensor | None = None
) -> tuple[Tensor, Tensor, dict[str, Tensor | np.ndarray]]:
    """The pipeline's loop rebuilt from its parts, for intermediate results, variation (`start_from` has the
    final latents of another clip), guidanceEnd and featureReuse. Returns final latents, timesteps and the
    intermediate results.
    """
    from diffusers.pipelines.deprecated.i2vgen_xl.pipeline_i2vgen_xl import (
        _center_crop_wide,
        _resize_bilinear,
    )

    width, height, frames, seed = case["width"], case["height"], case["numFrames"], case["seed"]
    guidance = case["guidanceScale"]
    pipe._guidance_scale = guidance
    prompt_embeds, negative = pipe.encode_prompt(
        case["prompt"], "cpu", 1, case["negativePrompt"], clip_skip=1
    )
    if guidance > 1:
        prompt_embeds = torch.cat([negative, prompt_embeds])

    crop = pipe.feature_extractor.crop_size
    clip_image = _resize_bilinear(_center_crop_wide(image, (width, width)), (crop["width"], crop["height"]))
    image_embeddings = pipe._encode_image(clip_image, "cpu", 1)
    vae_image = pipe.video_processor.preprocess(_center_crop_wide(image, (width, height)))
    torch.manual_seed(PICTURE_SEED)  # eps of the image latents
    image_latents = pipe.prepare_image_latents(vae_image, "cpu", frames, 1)

    factor = pipe.vae_scale_factor
    shape = (1, pipe.unet.config.in_channels, frames, height // factor, width // factor)
    noise = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))  # x_T

    scheduler = make_scheduler(pipe, case)
    scheduler.set_timesteps(case["numInferenceSteps"])
    timesteps = scheduler.timesteps
    latents = noise * scheduler.init_noise_sigma
    if start_from is not None:
        t_start = variation_start(case["numInferenceSteps"], case["variation"]["strength"])
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(t_start)
        timesteps = timesteps[t_start:]
        latents = scheduler.add_noise(start_from, noise, timesteps[:1])

    first_step = case["numInferenceSteps"] - len(timesteps)
    guided_steps = math.ceil(case["numInferenceSteps"] * case["guidanceEnd"]) if guidance > 1 else 0
    with DeepFeatures(pipe.unet) as features:
        for i, t in enumerate(timesteps, first_step):
            batch = 2 if i < guided_steps else 1
            # Every round begins with the whole UNet; without guidance a new round begins.
            begin = first_step if i < guided_steps else max(first_step, guided_steps)
            features.are_old = (i - begin) % case["featureReuse"] != 0
            noise_pred = pipe.unet(
                torch.cat([latents] * batch),
                t,
                fps=torch.full((batch,), case["targetFps"]),
                image_latents=image_latents[-batch:],
                image_embeddings=image_embeddings[-batch:],
                encoder_hidden_states=prompt_embeds[-batch:],
            ).sample
            if batch == 2:
                uncond, cond = noise_pred.chunk(2)
                noise_pred = uncond + guidance * (cond - uncond)
            latents = scheduler.step(noise_pred, t, latents).prev_sample

    intermediate = {
        "clipPixels": pixels(clip_image),
        "vaePixels": pixels(_center_crop_wide(image, (width, height))),
        "promptEmbeds": prompt_embeds,  # [negative, positive] with guidance
        "imageEmbeds": image_embeddings[-1],
        "imageLatents": image_latents[-1:, :, 0],
    }
    return latents, timesteps.to(torch.int64), intermediate


class DeepFeatures:
    """DeepCache (arXiv 2312.00858) on the untouched UNet. The input of its last layer from below is recorded
    or, while `are_old`, replaced by what an earlier run recorded. The skip connection from the first layer is
    always new. The whole UNet runs every time, so the reference does not depend on the export.
    """

    def __init__(self, unet: I2VGenXLUNet) -> None:
        self.layer = unet.up_blocks[-1].resnets[-1]
        self.skip_channels = unet.config.block_out_channels[0]
        self.features, self.are_old = None, False

    def __enter__(self) -> Self:
        self.hook = self.layer.register_forward_pre_hook(self.replace)
        return self

    def __exit__(self, *_: object) -> None:
        self.hook.remove()

    def replace(self, _layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        joined, *rest = args
        if not self.are_old:
            self.features = joined[:, : -self.skip_channels]
        return torch.cat([self.features, joined[:, -self.skip_channels :]], dim=1), *rest


def variation_start(num_inference_steps: int, strength: float) -> int:
    """Index of the first step that is run: at least one is."""
    return num_inference_steps - max(1, math.floor(num_inference_steps * strength))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.uint8)


@torch.no_grad()
def decode(pipe: I2VGenXLPipeline, latents: Tensor) -> np.ndarray:
    """uint8 (F, H, W, 3), as the pipeline's PIL output."""
    video = pipe.decode_latents(latents, decode_chunk_size=1)
    return np.stack([pixels(frame) for frame in pipe.video_processor.postprocess_video(video, "pil")[0]])


def run_case(
    pipe: I2VGenXLPipeline, golden: Golden, name: str, case: dict, start_from: Tensor | None = None
) -> tuple[dict, Tensor]:
    case = {**DEFAULTS, **case}
    image = Image.open(golden.out / "pictures" / f"{case['picture']}.png")
    latents, timesteps, intermediate = own_latents(pipe, case, image, start_from)
    is_shortcut = case["guidanceEnd"] != 1 or case["featureReuse"] != 1
    if start_from is None and not is_shortcut:
        scheduler, pipe.scheduler = pipe.scheduler, make_scheduler(pipe, case)
        reference = reference_latents(pipe, case, image)
        pipe.scheduler = scheduler
        difference = float((latents - reference).abs().max())
        if difference > 1e-5:
            raise SystemExit(f"{name}: the loop of this file is not the pipeline's: {difference:.1e}")
        latents = reference
    frames = decode(pipe, latents)
    saturated = float(((frames == 0) | (frames == 255)).mean())
    moving = float(np.abs(np.diff(frames.astype(float), axis=0)).mean()) if len(frames) > 1 else 0
    spread = f"latents std {latents.std():.2f}, {saturated:.1%} saturated, {moving:.0f}/255 between frames"
    print(f"{name:28} {spread}")

    request = {key: value for key, value in case.items() if key not in ("picture", "schedulerConfig")}
    entry = {"name": name, "picture": f"pictures/{case['picture']}.png", "request": request}
    if "schedulerConfig" in case:
        entry["schedulerConfig"] = case["schedulerConfig"]
    entry["timesteps"] = timesteps.tolist()
    if not is_shortcut:
        entry["intermediate"] = golden.tensors(name, intermediate)
    entry["latents"] = golden.tensor(name, "latents", latents)
    entry["frames"] = golden.tensor(name, "frames", frames)
    return entry, latents


@torch.no_grad()
def run_components(pipe: I2VGenXLPipeline, golden: Golden) -> list:
    """Each model by itself on random inputs. Names of inputs and outputs are those of the graphs."""
    torch.manual_seed(1)
    cases = []

    def add(name: str, graphs: list[str], inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        tensors = {"inputs": golden.tensors(name, inputs), "outputs": golden.tensors(name, outputs)}
        cases.append({"name": name, "graphs": graphs, **tensors})

    prompts = ["camera slowly zooming in, it's 4K!", LONG_PROMPT]
    pipe._guidance_scale = 1
    tokens = pipe.tokenizer.model_max_length
    ids = pipe.tokenizer(
        prompts, padding="max_length", max_length=tokens, truncation=True, return_tensors="pt"
    ).input_ids
    embeds, _ = pipe.encode_prompt(prompts, "cpu", 1, clip_skip=1)
    add("text-encoder", ["text_encoder"], {"input_ids": ids}, {"prompt_embeds": embeds})
    cases[-1]["prompts"] = prompts

    size = pipe.image_encoder.config.image_size
    pixel_values = torch.randn(1, 3, size, size)
    image_embeds = pipe.image_encoder(pixel_values).image_embeds
    add("image-encoder", ["image_encoder"], {"pixel_values": pixel_values}, {"image_embeds": image_embeds})

    for label, height, width in (("square", 64, 64), ("wide", 64, 128)):
        sample = torch.rand(1, 3, height, width) * 2 - 1
        moments = pipe.vae.encode(sample).latent_dist.parameters
        add(f"vae-encoder-{label}", ["vae_encoder"], {"sample": sample}, {"moments": moments})
    for label, n, height, width in (("square", 2, 8, 8), ("wide", 1, 8, 16)):
        latent = torch.randn(n, 4, height, width) / pipe.vae.config.scaling_factor
        sample = pipe.vae.decode(latent).sample
        add(f"vae-decoder-{label}", ["vae_decoder"], {"latent": latent}, {"sample": sample})

    dim = pipe.unet.config.cross_attention_dim
    # 40 cells are more than the 32 bins of the pooled picture, 8 are less.
    # Guidance 9 and a step along the prediction, and the prediction alone.
    guided, single = torch.tensor([0.97, 1.2, -1.35]), torch.tensor([0.0, 1.0])
    for label, frames, height, width, t, factors in (
        ("guided", 5, 8, 16, 981, guided),
        ("single", 3, 40, 8, 1, single),
    ):
        batch = len(factors) - 1
        inputs = {
            "fps": torch.tensor([8]),
            "image_latents": torch.randn(1, 4, frames, height, width),
            "image_embeddings": torch.randn(batch, 1, dim),
            "encoder_hidden_states": torch.randn(batch, tokens, dim),
            "sample": torch.randn(1, 4, frames, height, width),
            "timestep": torch.tensor([t]),
            "factors": factors,
        }
        add(
            f"unet-{label}",
            ["unet_cond", "unet_core"],
            inputs,
            {"out_sample": reference_sample(pipe.unet, inputs)},
        )
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="diffusers folder written by make_tiny.py")
    parser.add_argument("out", type=Path, help="folder of the golden data")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    # The class that the published pipeline names; it cleans prompts by ftfy, the fast one does not.
    tokenizer = CLIPTokenizer.from_pretrained(args.checkpoint, subfolder="tokenizer")
    pipe = I2VGenXLPipeline.from_pretrained(args.checkpoint, tokenizer=tokenizer)
    pipe.set_progress_bar_config(disable=True)

    golden = Golden(args.out)
    make_pictures(args.out / "pictures")
    index = {
        "pack": "tiny-i2vgen-xl",
        "components": run_components(pipe, golden),
        "pipelines": [],
        "variations": [],
        "shortcuts": [],
    }
    finals = {}
    for name, case in PIPELINES.items():
        entry, finals[name] = run_case(pipe, golden, name, case)
        index["pipelines"].append(entry)
    for name, case in VARIATIONS.items():
        entry, _ = run_case(pipe, golden, name, case, finals[case["variation"]["videoId"]])
        index["variations"].append(entry)
    for name, case in SHORTCUTS.items():
        entry, _ = run_case(pipe, golden, name, case)
        index["shortcuts"].append(entry)
    write_json(args.out / "index.json", index)
    total = sum(p.stat().st_size for name in ("pictures", "tensors") for p in (args.out / name).iterdir())
    print(f"{args.out}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
