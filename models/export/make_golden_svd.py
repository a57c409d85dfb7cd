"""Makes the reference numbers for Stable Video Diffusion: diffusers on the tiny checkpoint.

    python make_golden_svd.py CHECKPOINT OUT

CHECKPOINT is the diffusers folder that make_tiny_svd.py wrote; its export is the pack that the tests run.
Everything runs in float32 on the CPU. OUT gets index.json, pictures/*.png and tensors/*, in the format of
make_golden.py; tests/golden/README.md tells what is different here. And cards.json.
"""

import argparse
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image
from torch import Tensor

from make_golden import DeepFeatures, Golden, pixels, variation_start
from manifest import write_json
from svd import animate_lcm_card_of, card_of, reference_sample, unet_case

DEFAULTS: dict[str, Any] = {
    "numFrames": 14,
    "targetFps": 7,
    "motionBucket": 127,
    "noiseAug": 0.02,
    "minGuidance": 1,
    "guidanceScale": 3,
    "guidanceEnd": 1,
    "featureReuse": 1,
    "scheduler": "euler",
}

# Pictures have the size of their clips: Kinora crops before both branches, and then the pipeline has nothing
# to resize.
SIZES = {"square": (64, 64), "wide": (128, 64), "tall": (64, 128), "large": (256, 128)}

# `decodes` are pairs of window and overlap. Without an overlap, chunks one after the other.
PIPELINES: dict[str, dict[str, Any]] = {
    "square-14-n5": dict(
        picture="square", seed=42, numInferenceSteps=5, decodes=[(14, 0), (8, 0), (2, 0), (7, 2)]
    ),
    "wide-25-n4": dict(
        picture="wide", seed=7, numFrames=25, numInferenceSteps=4, targetFps=12, decodes=[(25, 0), (7, 2)]
    ),
    "tall-14-n4-unguided": dict(
        picture="tall", seed=2**32 + 5, numInferenceSteps=4, guidanceScale=1, motionBucket=200
    ),
    "square-25-n4-no-noise": dict(picture="square", seed=3, numFrames=25, numInferenceSteps=4, noiseAug=0),
    "wide-14-n3-more-noise": dict(
        picture="wide", seed=4, numInferenceSteps=3, noiseAug=0.1, minGuidance=1.5, motionBucket=30
    ),
    "square-14-n25": dict(picture="square", seed=2**53 - 1, numInferenceSteps=25),
    "large-14-n3": dict(picture="large", seed=6, numInferenceSteps=3),
    # The pipeline takes the scale of its only frame, minGuidance, and fails where only that one is 1.
    "one-frame-n4": dict(picture="wide", seed=8, numFrames=1, numInferenceSteps=4, guidanceScale=1),
    # diffusers subtracts numbers of about 700 here, so these are less exact.
    "square-14-n1": dict(picture="square", seed=9, numInferenceSteps=1),
    "square-14-n2": dict(picture="square", seed=10, numInferenceSteps=2),
}

# Each starts from the final latents of `videoId`, a case above.
VARIATIONS: dict[str, dict[str, Any]] = {
    "variation-subtle-n20": dict(
        picture="square",
        seed=99,
        numInferenceSteps=20,
        variation={"videoId": "square-14-n25", "strength": 0.35},
    ),
}

# What the pipeline of diffusers lacks: guidance that ends, deep features of an earlier step, LCM sampling.
SHORTCUTS: dict[str, dict[str, Any]] = {
    "guidance-half-n8": dict(picture="square", seed=15, numInferenceSteps=8, guidanceEnd=0.5),
    "reuse2-n8": dict(picture="wide", seed=16, numFrames=5, numInferenceSteps=8, featureReuse=2),
    "reuse3-half-n9": dict(
        picture="square", seed=17, numFrames=5, numInferenceSteps=9, featureReuse=3, guidanceEnd=0.5
    ),
    "lcm-n4": dict(picture="square", seed=18, numInferenceSteps=4, scheduler="lcm", guidanceScale=1.2),
    "lcm-n8-unguided": dict(
        picture="tall", seed=19, numFrames=5, numInferenceSteps=8, scheduler="lcm", guidanceScale=1
    ),
}

# Pictures of which only the image encoder's input is kept: larger and smaller than 224, lying and upright.
BRANCH = {"branch-lying": (1024, 576), "branch-upright": (300, 500), "branch-small": (150, 100)}
# Of its rows and columns, every eighth.
STRIDE = 8


def make_pictures(folder: Path) -> None:
    """Few colours, so that the files are small; edges, so that resampling has something to do."""
    rng = np.random.default_rng(1)
    for name, (width, height) in {**SIZES, **BRANCH}.items():
        y, x = np.mgrid[0:height, 0:width] / max(width, height)
        planes = [np.sin(2 * np.pi * (fx * x + fy * y + p)) for fx, fy, p in rng.uniform(0.5, 3, (3, 3))]
        values = 128 + 100 * np.stack(planes, -1)
        left, top, side = width // 4, height // 5, min(width, height) // 3
        values[top : top + side, left : left + side] = rng.uniform(0, 255, 3)
        Image.fromarray((values / 16).round().astype(np.uint8) * 16).save(
            folder / f"{name}.png", optimize=True
        )


def open_picture(golden: Golden, name: str) -> Image.Image:
    return Image.open(golden.out / "pictures" / f"{name}.png")


def reference_latents(pipe: StableVideoDiffusionPipeline, case: dict, image: Image.Image) -> Tensor:
    """The pipeline of diffusers itself: final latents (F, C, h, w)."""
    return pipe(
        image,
        width=image.width,
        height=image.height,
        num_frames=case["numFrames"],
        num_inference_steps=case["numInferenceSteps"],
        min_guidance_scale=case["minGuidance"],
        max_guidance_scale=case["guidanceScale"],
        fps=case["targetFps"],
        motion_bucket_id=case["motionBucket"],
        noise_aug_strength=case["noiseAug"],
        generator=torch.Generator("cpu").manual_seed(case["seed"]),
        output_type="latent",
    ).frames[0]


@torch.no_grad()
def own_latents(
    pipe: StableVideoDiffusionPipeline, case: dict, image: Image.Image, start_from: Tensor | None = None
) -> tuple[Tensor, list[float], dict[str, Tensor]]:
    """The pipeline's loop rebuilt from its parts, in its own terms but in float64, for what it lacks. Returns
    the final latents (F, C, h, w), the levels of noise and the intermediate results.
    """
    generator = torch.Generator("cpu").manual_seed(case["seed"])
    frames, steps, guidance = case["numFrames"], case["numInferenceSteps"], case["guidanceScale"]
    is_guided = guidance > 1
    embeds = pipe._encode_image(image, "cpu", 1, is_guided)
    picture = pipe.video_processor.preprocess(image, height=image.height, width=image.width)
    picture = picture + case["noiseAug"] * torch.randn(picture.shape, generator=generator)
    pictures = pipe._encode_vae_image(picture, "cpu", 1, is_guided)
    noise = torch.randn((frames, *pictures.shape[1:]), generator=generator)
    ids = torch.tensor([[case["targetFps"] - 1, case["motionBucket"], case["noiseAug"]]], dtype=torch.float32)
    scale = torch.linspace(case["minGuidance"], guidance, frames)[:, None, None, None]

    def prediction(x: Tensor, timestep: float, rows: int) -> Tensor:
        joined = torch.cat(
            [x.expand(rows, *x.shape), pictures[-rows:, None].expand(-1, frames, -1, -1, -1)], dim=2
        )
        out = pipe.unet(
            joined.float(), torch.tensor(timestep, dtype=torch.float32), embeds[-rows:], ids.expand(rows, -1)
        ).sample
        return (out[0] if rows == 1 else out[0] + scale * (out[1] - out[0])).double()

    sigmas = levels_of_lcm(steps) if case["scheduler"] == "lcm" else levels_of_euler(pipe, steps)
    first = variation_start(steps, case["variation"]["strength"]) if start_from is not None else 0
    x = noise.double() * math.sqrt(sigmas[0] ** 2 + 1)
    if start_from is not None:
        x = start_from + noise.double() * sigmas[first]
    guided_steps = math.ceil(steps * case["guidanceEnd"]) if is_guided else 0
    with DeepFeatures(pipe.unet) as features:
        for i in range(first, steps):
            sigma, after = sigmas[i], sigmas[i + 1]
            begin = first if i < guided_steps else max(first, guided_steps)
            features.are_old = (i - begin) % case["featureReuse"] != 0
            rows = 2 if i < guided_steps else 1
            v = prediction(x / math.sqrt(sigma**2 + 1), 0.25 * math.log(sigma), rows)
            denoised = x / (sigma**2 + 1) - v * sigma / math.sqrt(sigma**2 + 1)
            if case["scheduler"] == "lcm":
                # From the same stream, after the clip's own noise; none where nothing of it would be left.
                fresh = torch.randn(x.shape, generator=generator) if after else torch.zeros(x.shape)
                x = denoised + after * fresh.double()
            else:
                x = x + (x - denoised) / sigma * (after - sigma)
    intermediate = {"imageEmbeds": embeds[-1], "imageLatents": pictures[-1:]}
    return x.float(), sigmas, intermediate


def levels_of_karras(steps: int) -> list[float]:
    """The published levels of Euler: from 700 to 0.002, and zero."""
    low, high = 0.002 ** (1 / 7), 700 ** (1 / 7)
    ramp = np.linspace(0, 1, steps)
    return [float(np.float32((high + k * (low - high)) ** 7)) for k in ramp] + [0.0]


def levels_of_euler(pipe: StableVideoDiffusionPipeline, steps: int) -> list[float]:
    pipe.scheduler.set_timesteps(steps)
    return pipe.scheduler.sigmas.tolist()


def levels_of_lcm(steps: int) -> list[float]:
    """Those of AnimateLCM-SVD: Karras levels at positions i * floor(40 / N) of 40, and zero."""
    low, high = 0.002 ** (1 / 7), 700 ** (1 / 7)
    ramp = [i * (40 // steps) / 39 for i in range(steps)]
    return [float(np.float32((high + k * (low - high)) ** 7)) for k in ramp] + [0.0]


def windows(frames: int, size: int, overlap: int) -> list[tuple[int, int, int]]:
    """Start of each window, and the frames that are kept of it. Without an overlap chunks, the last one
    short; otherwise windows of one size, spread evenly, of which the middle is kept.
    """
    if size >= frames:
        return [(0, 0, frames)]
    if overlap == 0:
        return [(start, start, min(start + size, frames)) for start in range(0, frames, size)]
    count = math.ceil((frames - 2 * overlap) / (size - 2 * overlap))
    starts = [round(i * (frames - size) / (count - 1)) for i in range(count)]
    seams = [(b + a + size + 1) // 2 for a, b in zip(starts, starts[1:], strict=False)]
    return list(zip(starts, [0, *seams], [*seams, frames], strict=True))


@torch.no_grad()
def decode(pipe: StableVideoDiffusionPipeline, latents: Tensor, size: int, overlap: int) -> np.ndarray:
    """(F, C, h, w) -> uint8 (F, H, W, 3), as the pipeline's PIL output."""
    z, parts = 1 / pipe.vae.config.scaling_factor * latents, []
    for start, first, last in windows(len(z), size, overlap):
        end = last if overlap == 0 else min(start + size, len(z))
        sample = pipe.vae.decode(z[start:end], num_frames=end - start).sample
        parts.append(sample[first - start : last - start])
    video = torch.cat(parts)[None].permute(0, 2, 1, 3, 4)
    frames = pipe.video_processor.postprocess_video(video, "pil")[0]
    if overlap == 0:
        own = pipe.decode_latents(latents[None], len(z), size)
        if not torch.equal(own, video):
            raise SystemExit("the chunks of this file are not the pipeline's")
    return np.stack([pixels(frame) for frame in frames])


def in_kinora(latents: Tensor) -> Tensor:
    """(F, C, h, w) -> (1, C, F, h, w)."""
    return latents.transpose(0, 1)[None]


def run_case(
    pipe: StableVideoDiffusionPipeline,
    golden: Golden,
    name: str,
    case: dict,
    start_from: Tensor | None = None,
) -> tuple[dict, Tensor]:
    case = {**DEFAULTS, **case}
    image = open_picture(golden, case["picture"])
    latents, sigmas, intermediate = own_latents(pipe, case, image, start_from)
    if name in PIPELINES:
        reference = reference_latents(pipe, case, image)
        difference = float((latents - reference).abs().max())
        # At a level of 700, the last digit of the pipeline's float32 latents is 1e-4.
        if difference > (1e-4 if case["numInferenceSteps"] > 2 else 1e-3):
            raise SystemExit(f"{name}: the loop of this file is not the pipeline's: {difference:.1e}")
        print(f"{name:28} beside the pipeline: {difference:.1e}")
        latents = reference
    decodes = case.pop("decodes", [])
    picture = case.pop("picture")
    request = {**case, "width": image.width, "height": image.height}
    entry = {"name": name, "picture": f"pictures/{picture}.png", "request": request, "sigmas": sigmas}
    entry["intermediate"] = golden.tensors(name, intermediate)
    entry["latents"] = golden.tensor(name, "latents", in_kinora(latents))
    entry["decodes"] = []
    for size, overlap in decodes:
        frames = decode(pipe, latents, size, overlap)
        saturated = float(((frames == 0) | (frames == 255)).mean())
        tensor = golden.tensor(name, f"frames-{size}-{overlap}", frames)
        entry["decodes"].append({"decodeChunkSize": size, "decodeOverlap": overlap, "frames": tensor})
        print(f"{name:28} decoded {size}, {overlap}: {saturated:.1%} saturated, std {frames.std():.0f}")
    moving = float((latents[1:] - latents[:-1]).abs().mean()) if len(latents) > 1 else 0
    print(
        f"{name:28} latents std {latents.std():.2f}, largest {latents.abs().max():.1f}, moving {moving:.2f}"
    )
    return entry, latents


@torch.no_grad()
def run_branch(pipe: StableVideoDiffusionPipeline, golden: Golden) -> list:
    """What the image encoder gets of pictures of other sizes."""
    entries: list[dict] = []
    seen: dict[str, Tensor] = {}
    hook = pipe.image_encoder.register_forward_pre_hook(lambda _, args: seen.update(pixels=args[0]))
    for name in BRANCH:
        pipe._encode_image(open_picture(golden, name), "cpu", 1, False)
        values = golden.tensor(name, "pixelValues", seen["pixels"][:, :, ::STRIDE, ::STRIDE])
        entries.append(
            {"name": name, "picture": f"pictures/{name}.png", "stride": STRIDE, "pixelValues": values}
        )
    hook.remove()
    return entries


@torch.no_grad()
def run_components(pipe: StableVideoDiffusionPipeline, golden: Golden) -> list:
    """Each model by itself on random inputs. Names of inputs and outputs are those of the graphs."""
    torch.manual_seed(1)
    cases = []

    def add(name: str, graphs: list[str], inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        tensors = {"inputs": golden.tensors(name, inputs), "outputs": golden.tensors(name, outputs)}
        cases.append({"name": name, "graphs": graphs, **tensors})

    rng = np.random.default_rng(2)
    coarse = torch.from_numpy(rng.standard_normal((1, 3, 7, 7)).astype(np.float32))
    pixel_values = coarse.repeat_interleave(32, dim=2).repeat_interleave(32, dim=3)
    embeds = pipe.image_encoder(pixel_values).image_embeds
    add("image-encoder", ["image_encoder"], {"pixel_values": pixel_values}, {"image_embeds": embeds})
    sample = torch.rand(1, 3, 64, 128) * 2 - 1
    moments = pipe.vae.encode(sample).latent_dist.parameters
    add("vae-encoder", ["vae_encoder"], {"sample": sample}, {"moments": moments})
    for n, height, width in ((1, 8, 8), (5, 8, 16)):
        latent = torch.randn(n, 4, height, width) / pipe.vae.config.scaling_factor
        decoded = pipe.vae.decode(latent, num_frames=n).sample
        add(f"vae-decoder-{n}", ["vae_decoder"], {"latent": latent}, {"sample": decoded})
    for label, case in (("guided", (2, 5, 8, 16, 1.2)), ("single", (1, 14, 16, 8, -1.5))):
        inputs = unet_case(pipe.unet.config, *case)
        out = reference_sample(pipe.unet, inputs)
        add(f"unet-{label}", ["unet_cond", "unet_core"], inputs, {"out_sample": out})
    return cases


def make_cards() -> dict[str, Any]:
    """What the exporter writes into the packs of published weights, for tests of requests to them."""
    cards = [card_of(14), card_of(25)]
    return {card["id"]: card for card in [*cards, *map(animate_lcm_card_of, cards)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="diffusers folder written by make_tiny_svd.py")
    parser.add_argument("out", type=Path, help="folder of the golden data")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    pipe = StableVideoDiffusionPipeline.from_pretrained(args.checkpoint)
    pipe.set_progress_bar_config(disable=True)

    args.out.mkdir(exist_ok=True)
    golden = Golden(args.out)
    make_pictures(args.out / "pictures")
    finals: dict[str, Tensor] = {}

    def entries(cases: dict[str, dict], start: Callable[[dict], Tensor | None]) -> list[dict]:
        results = []
        for name, case in cases.items():
            entry, finals[name] = run_case(pipe, golden, name, case, start(case))
            results.append(entry)
        return results

    index = {
        "pack": "tiny-svd",
        "branch": run_branch(pipe, golden),
        "components": run_components(pipe, golden),
        "pipelines": entries(PIPELINES, lambda _: None),
        "variations": entries(VARIATIONS, lambda case: finals[case["variation"]["videoId"]]),
        "shortcuts": entries(SHORTCUTS, lambda _: None),
    }
    write_json(args.out / "index.json", index)
    write_json(args.out / "cards.json", make_cards())
    total = sum(p.stat().st_size for name in ("pictures", "tensors") for p in (args.out / name).iterdir())
    print(f"{args.out}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
