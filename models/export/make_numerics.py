"""Makes the golden numbers of Kinora's numeric building blocks from the Python originals.

    python make_numerics.py [--clip-wheel open_clip_torch-3.3.0-py3-none-any.whl]

Schedulers from diffusers, noise from torch, resampling from Pillow, the image branches of both families from
their pipelines, token ids from transformers. Writes tests/golden/numerics. With a wheel of open_clip_torch
(`pip download --no-deps open_clip_torch==3.3.0`), whose package holds CLIP's vocabulary under MIT licence,
tests/fixtures/clip is remade too.
"""

import argparse
import base64
import gzip
import hashlib
import itertools
import json
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
)
from diffusers.pipelines.deprecated.i2vgen_xl.pipeline_i2vgen_xl import _center_crop_wide, _resize_bilinear
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    _resize_with_antialiasing,
)
from diffusers.video_processor import VideoProcessor
from numpy.typing import ArrayLike
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPTokenizer, CLIPTokenizerFast

Scheduler: TypeAlias = DDIMScheduler | DPMSolverMultistepScheduler

TESTS = Path(__file__).resolve().parents[2] / "tests"
GOLDEN = TESTS / "golden" / "numerics"

I2VGEN_XL = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "squaredcos_cap_v2",
    "trained_betas": None,
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
    "thresholding": False,
    "timestep_spacing": "leading",
    "rescale_betas_zero_snr": True,
}
SVD: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "prediction_type": "v_prediction",
    "interpolation_type": "linear",
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "steps_offset": 1,
}
# Sampling of AnimateLCM-SVD takes so many of these levels.
LCM_LEVELS = 40
SCHEDULERS = ("ddim", "dpm++2m")
SPACINGS = ("leading", "trailing", "linspace")
LENGTH = 24
STRENGTH = 0.35


def floats(values: ArrayLike) -> str:
    """Little-endian float32 in base64."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()


def write(name: str, value: list | dict) -> None:
    """One line per entry of the outermost list or object, so that changes can be read."""

    def dump(part: object) -> str:
        return json.dumps(part, ensure_ascii=False, separators=(",", ":"))

    if isinstance(value, list):
        text = "[\n" + ",\n".join(map(dump, value)) + "\n]\n"
    else:
        text = "{\n" + ",\n".join(f"{dump(key)}: {dump(part)}" for key, part in value.items()) + "\n}\n"
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / name).write_text(text, encoding="utf-8")
    print(f"{name}: {len(value)} entries, {len(text)} characters")


# Schedulers -------------------------------------------------------------------------------------------------


def make_scheduler(name: str, config: dict) -> Scheduler:
    """As a pipeline does: DDIM from its configuration file, DPM-Solver++ from what DDIM has read."""
    ddim = DDIMScheduler.from_config(config)
    return ddim if name == "ddim" else DPMSolverMultistepScheduler.from_config(ddim.config)


def model_output(sample: Tensor, t: float, pattern: Tensor, gain: float) -> Tensor:
    """Stands in for a UNet: a function that both sides compute alike and that keeps the sample bounded."""
    return sample * (gain + 0.1 * t / 1000) + pattern * 0.2


def run_loop(scheduler: Scheduler, sample: Tensor, pattern: Tensor, gain: float, first: int = 0) -> Tensor:
    for t in scheduler.timesteps[first:]:
        sample = scheduler.step(model_output(sample, int(t), pattern, gain), t, sample).prev_sample
    return sample


def scheduler_timesteps() -> list:
    counts = [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        10,
        12,
        15,
        20,
        25,
        30,
        33,
        40,
        50,
        60,
        77,
        80,
        99,
        100,
        150,
        200,
        300,
        333,
        500,
    ]
    entries = []
    for name, spacing, offset in itertools.product(SCHEDULERS, SPACINGS, (0, 1)):
        for count in counts:
            scheduler = make_scheduler(
                name, {**I2VGEN_XL, "timestep_spacing": spacing, "steps_offset": offset}
            )
            scheduler.set_timesteps(count)
            timesteps = scheduler.timesteps.tolist()
            if len(timesteps) == count:  # diffusers appends -1 for a few counts
                entries.append(
                    {"scheduler": name, "spacing": spacing, "offset": offset, "timesteps": timesteps}
                )
    return entries


def scheduler_loops() -> list:
    """The inputs of all loops first, then the loops."""
    generator = torch.Generator().manual_seed(7)
    start, pattern, original = (torch.randn(LENGTH, generator=generator) for _ in range(3))
    inputs = {
        "start": floats(start),
        "pattern": floats(pattern),
        "original": floats(original),
        "strength": STRENGTH,
    }
    base = {"clip_sample": False, "steps_offset": 1}
    betas: list[dict[str, Any]] = [
        {"beta_schedule": "linear"},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2"},
    ]
    grid = itertools.product(betas, (False, True), ("epsilon", "v_prediction"), SPACINGS)
    configs = [
        {**base, **beta, "rescale_betas_zero_snr": zero, "prediction_type": kind, "timestep_spacing": spacing}
        for beta, zero, kind, spacing in grid
    ]
    configs += [
        I2VGEN_XL,
        {**I2VGEN_XL, "set_alpha_to_one": False},
        {**I2VGEN_XL, "clip_sample": True, "clip_sample_range": 0.7},
        {**I2VGEN_XL, "num_train_timesteps": 400, "steps_offset": 0},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False},
        {"prediction_type": "v_prediction"},
        {},
    ]
    loops = []
    for name, config in itertools.product(SCHEDULERS, configs):
        for count in (1, 2, 3, 20, 25, 50) if config is I2VGEN_XL else (3, 25):
            scheduler = make_scheduler(name, config)
            scheduler.set_timesteps(count)
            gain = 0.3 if config.get("prediction_type") == "v_prediction" else 0.85
            final = run_loop(scheduler, start, pattern, gain)
            entry = {"scheduler": name, "config": config, "steps": count, "gain": gain}
            if not torch.isfinite(final).all():
                loops.append({**entry, "isRefused": True})  # epsilon prediction at zero signal
                continue

            scheduler = make_scheduler(name, config)
            scheduler.set_timesteps(count)
            pipeline = SimpleNamespace(scheduler=scheduler)
            timesteps, _ = StableDiffusionImg2ImgPipeline.get_timesteps(pipeline, count, STRENGTH, "cpu")
            first = count - len(timesteps)
            varied = original
            if len(timesteps) > 0:
                varied = scheduler.add_noise(original[None], pattern[None], timesteps[:1])[0]
                entry["noisy"] = floats(varied)
                varied = run_loop(scheduler, varied, pattern, gain, first)
            entry |= {"final": floats(final), "first": first, "varied": floats(varied)}
            alphas = make_scheduler(name, config).alphas_cumprod
            entry["alphasCumprod"] = floats(alphas[:: len(alphas) // 8].tolist() + [alphas[-2]])
            loops.append(entry)
    return [inputs, *loops]


def karras_model(x: Tensor, sigma: float, t: float, pattern: Tensor, gain: float) -> Tensor:
    """The stand-in for a UNet, which sees the sample at variance 1."""
    return model_output(x / (sigma**2 + 1) ** 0.5, t, pattern, gain)


def euler_loop(count: int, start: Tensor, pattern: Tensor, gain: float, first: int = 0) -> dict:
    """`start` times √(sigma² + 1) is the first sample."""
    scheduler = EulerDiscreteScheduler.from_config(SVD)
    scheduler.set_timesteps(count)
    scheduler.set_begin_index(first)
    x = start * (float(scheduler.sigmas[first]) ** 2 + 1) ** 0.5
    for t in scheduler.timesteps[first:]:
        scaled = scheduler.scale_model_input(x, t)
        x = scheduler.step(model_output(scaled, float(t), pattern, gain), t, x).prev_sample
    return {
        "sigmas": floats(scheduler.sigmas),
        "timesteps": floats(scheduler.timesteps),
        "final": floats(x),
    }


def dpm_loop(count: int, start: Tensor, pattern: Tensor, gain: float) -> dict:
    """diffusers has these levels for Euler only, so its DPM-Solver gets them from outside."""
    euler = EulerDiscreteScheduler.from_config(SVD)
    euler.set_timesteps(count)
    scheduler = DPMSolverMultistepScheduler(prediction_type="v_prediction")
    scheduler.set_timesteps(count)
    scheduler.sigmas = euler.sigmas
    scheduler.set_begin_index(0)
    y = start
    for t, whole in zip(euler.timesteps, scheduler.timesteps, strict=True):
        y = scheduler.step(model_output(y, float(t), pattern, gain), whole, y).prev_sample
    return {"final": floats(y)}


def lcm_loop(count: int, start: Tensor, pattern: Tensor, gain: float, noises: list[Tensor]) -> dict:
    """AnimateLCM-SVD's sampler, as the formulas of its scheduler, in double."""
    ramp = np.arange(count) * (LCM_LEVELS // count) / (LCM_LEVELS - 1)
    low, high = (SVD[end] ** (1 / 7) for end in ("sigma_min", "sigma_max"))
    sigmas = np.append((high + ramp * (low - high)) ** 7, 0).astype(np.float32)
    x = start.double() * (float(sigmas[0]) ** 2 + 1) ** 0.5
    for i, sigma in enumerate(map(float, sigmas[:-1])):
        v = karras_model(x, sigma, float(np.float32(0.25 * np.log(sigma))), pattern.double(), gain)
        denoised = v * (-sigma / (sigma**2 + 1) ** 0.5) + x / (sigma**2 + 1)
        x = denoised + float(sigmas[i + 1]) * noises[i].double()
    return {"sigmas": floats(sigmas), "final": floats(x)}


def karras_loops() -> list:
    """The inputs of all loops first, then the loops."""
    generator = torch.Generator().manual_seed(11)
    start, pattern = (torch.randn(LENGTH, generator=generator) for _ in range(2))
    noises = [torch.randn(LENGTH, generator=generator) for _ in range(8)]
    gain = 0.3
    inputs = {
        "config": SVD,
        "gain": gain,
        "start": floats(start),
        "pattern": floats(pattern),
        "noises": list(map(floats, noises)),
    }
    loops = []
    for count in (1, 2, 4, 8, 20, 25, 50):
        loops.append(
            {"scheduler": "euler", "steps": count, "first": 0, **euler_loop(count, start, pattern, gain)}
        )
        loops.append(
            {"scheduler": "dpm++2m", "steps": count, "first": 0, **dpm_loop(count, start, pattern, gain)}
        )
        if count <= len(noises):
            loops.append(
                {
                    "scheduler": "lcm",
                    "steps": count,
                    "first": 0,
                    **lcm_loop(count, start, pattern, gain, noises),
                }
            )
    # The entry of a variation, part-way down.
    loops.append({"scheduler": "euler", "steps": 20, "first": 13, **euler_loop(20, start, pattern, gain, 13)})
    return [inputs, *loops]


def start_indices() -> list:
    entries = []
    for count, strength in itertools.product(
        (1, 2, 3, 7, 10, 25, 30, 50, 80, 100), (0.01, 0.1, 0.29, 0.3, 0.35, 0.5, 0.58, 0.7, 0.99, 1.0)
    ):
        pipeline = SimpleNamespace(scheduler=DDIMScheduler())
        pipeline.scheduler.set_timesteps(count)
        timesteps, _ = StableDiffusionImg2ImgPipeline.get_timesteps(pipeline, count, strength, "cpu")
        entries.append([count, strength, count - len(timesteps)])
    return entries


# Noise ------------------------------------------------------------------------------------------------------


def noise() -> list:
    """Consecutive calls of one generator; long results keep every 997th number, and the last sixteen."""
    seeds = [0, 1, 42, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 42, 1234567890123, 2**53 - 1]
    calls = [
        [5, 4, 16, 3, 100, 1, 17, 2],
        [1, 1, 1],
        [15, 15],
        [16],
        [17],
        [31, 32, 33],
        [1000],
        [4 * 16 * 8 * 8, 4],
    ]
    entries = []
    for seed, counts in [*itertools.product(seeds, calls), (42, [200_001, 7, 300_000])]:
        generator = torch.Generator("cpu").manual_seed(seed)
        values = [torch.randn(count, generator=generator) for count in counts]
        thin = [floats(x if len(x) <= 1000 else torch.cat([x[::997], x[-16:]])) for x in values]
        entries.append({"seed": seed, "counts": counts, "values": thin})
    return entries


# Pictures ---------------------------------------------------------------------------------------------------


def make_pixels(width: int, height: int) -> np.ndarray:
    """Hard edges, slopes and full-range noise, by integer arithmetic that the test repeats."""
    index = np.arange(width * height * 3, dtype=np.uint64)
    noise = ((index * 2654435761) % 2**32) >> 24
    block = ((index // 3 % width // 7) + (index // 3 // width // 5)) % 2 * 255
    kind = index // 3 // width % 3
    return (
        np.select([kind == 0, kind == 1], [noise, block], (index // 3 % width * 255) // width)
        .astype(np.uint8)
        .reshape(height, width, 3)
    )


def resized() -> list:
    filters = {"box": 4, "bilinear": 2, "bicubic": 3, "lanczos": 1}
    shapes = [
        (64, 48, 32, 24), (64, 48, 128, 96), (100, 75, 33, 57), (33, 57, 100, 75), (451, 300, 224, 224),
        (17, 400, 64, 9), (1, 1, 8, 8), (300, 200, 1, 1), (64, 48, 64, 20), (64, 48, 20, 48),
        (64, 48, 64, 48), (1279, 719, 512, 288), (3000, 20, 7, 19), (8, 8, 509, 3), (640, 480, 639, 481),
        (40, 400, 20, 200), (100, 200, 50, 100), (100, 201, 50, 100), (64, 48, 65, 47), (33, 57, 60, 56),
        (1080, 2400, 230, 512),
    ]  # fmt: skip
    boxes = [
        (64, 48, 32, 24, (3, 5, 60, 41)), (64, 48, 50, 50, (8, 0, 56, 48)),
        (451, 300, 256, 160, (0, 9.0625, 451, 290.9375)), (451, 300, 224, 224, (75.5, 0, 375.5, 300)),
        (100, 75, 100, 75, (0.5, 0.25, 99.5, 74.75)), (100, 75, 75, 75, (12.5, 0, 87.5, 75)),
        (100, 75, 333, 250, (0.1, 0.2, 99.9, 74.7)), (640, 480, 512, 384, (0, 0, 640, 480)),
        (50, 300, 64, 64, (0, 125, 50, 175)), (50, 300, 40, 200, (3.3, 10.5, 44.4, 280.25)),
    ]  # fmt: skip
    entries = []
    cases = [*((shape, None) for shape in shapes), *((box[:4], box[4]) for box in boxes)]
    for (case, box), (name, number) in itertools.product(cases, filters.items()):
        width, height, target_width, target_height = case
        image = PIL.Image.fromarray(make_pixels(width, height))
        result = image.resize((target_width, target_height), PIL.Image.Resampling(number), box)
        digest = hashlib.sha256(result.tobytes()).hexdigest()
        entries.append(
            {
                "from": [width, height],
                "to": [target_width, target_height],
                "filter": name,
                "box": box,
                "sha256": digest,
            }
        )
    return entries


def prepared() -> list:
    """`compat`: what the pipeline feeds its image encoder and its VAE."""
    cases = [
        (64, 64, 64, 64, 32), (100, 75, 64, 64, 32), (75, 100, 96, 64, 28), (451, 300, 128, 64, 32),
        (300, 451, 64, 128, 32), (1024, 1024, 1280, 704, 224), (768, 512, 1280, 704, 224),
        (1280, 720, 1280, 704, 224), (1080, 1920, 1280, 704, 224), (640, 480, 1280, 704, 224),
        (1024, 576, 1280, 704, 224), (512, 512, 320, 192, 64), (1080, 2400, 576, 1024, 224),
        (2400, 1080, 1024, 576, 224), (37, 91, 64, 96, 16), (9, 8, 64, 64, 32),
    ]  # fmt: skip
    video_processor = VideoProcessor(vae_scale_factor=8, do_resize=False)
    entries = []
    for width, height, to_width, to_height, encoder in cases:
        image = PIL.Image.fromarray(make_pixels(width, height))
        square = _resize_bilinear(_center_crop_wide(image, (to_width, to_width)), (encoder, encoder))
        picture = _center_crop_wide(image, (to_width, to_height))
        sample = video_processor.preprocess(picture)
        processor = CLIPImageProcessor(crop_size={"height": encoder, "width": encoder})
        pixels = processor(
            images=video_processor.numpy_to_pt(video_processor.pil_to_numpy(square)),
            do_normalize=True, do_center_crop=False, do_resize=False, do_rescale=False, return_tensors="pt",
        ).pixel_values  # fmt: skip
        entries.append(
            {
                "from": [width, height],
                "to": [to_width, to_height],
                "encoderSize": encoder,
                "mean": processor.image_mean,
                "std": processor.image_std,
                "squareSha256": hashlib.sha256(square.tobytes()).hexdigest(),
                "pictureSha256": hashlib.sha256(picture.tobytes()).hexdigest(),
                "pixelValues": floats(pixels.flatten()[:: max(pixels.numel() // 50, 1)]),
                "vaeSample": floats(sample.flatten()[:: max(sample.numel() // 50, 1)]),
            }
        )
    return entries


def antialiased() -> list:
    """What the pipeline of Stable Video Diffusion feeds its image encoder."""
    sizes = [(64, 64), (128, 72), (200, 150), (224, 224), (640, 384), (384, 640), (1024, 576), (225, 449)]
    processor = CLIPImageProcessor()
    entries = []
    for width, height in sizes:
        image = torch.from_numpy(make_pixels(width, height)).permute(2, 0, 1)[None].float() / 255
        resized = (_resize_with_antialiasing(image * 2 - 1, (224, 224)) + 1) / 2
        pixels = processor(
            images=resized,
            do_normalize=True, do_center_crop=False, do_resize=False, do_rescale=False, return_tensors="pt",
        ).pixel_values  # fmt: skip
        entries.append(
            {
                "from": [width, height],
                "mean": processor.image_mean,
                "std": processor.image_std,
                "pixelValues": floats(pixels.flatten()[:: pixels.numel() // 400]),
            }
        )
    return entries


# Tokens -----------------------------------------------------------------------------------------------------


def byte_symbols() -> list[str]:
    """CLIP's printable stand-ins for the 256 bytes, in the order of its vocabulary."""
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def make_clip_fixture(wheel: Path, folder: Path) -> None:
    """CLIP's real vocabulary as the tokenizer folder of a pack, from the merges in open_clip_torch."""
    with zipfile.ZipFile(wheel) as package:
        lines = (
            gzip.decompress(package.read("open_clip/bpe_simple_vocab_16e6.txt.gz"))
            .decode("utf-8")
            .split("\n")
        )
        licence = next(name for name in package.namelist() if name.endswith("LICENSE"))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "LICENSE").write_bytes(package.read(licence))
    merges = lines[1 : 49152 - 256 - 2 + 1]
    symbols = byte_symbols()
    tokens = [*symbols, *(symbol + "</w>" for symbol in symbols), *("".join(line.split()) for line in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as temporary:
        vocabulary, merges_file = Path(temporary, "vocab.json"), Path(temporary, "merges.txt")
        vocabulary.write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
        merges_file.write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
        tokenizer = CLIPTokenizerFast(str(vocabulary), str(merges_file), model_max_length=77)
    tokenizer.save_pretrained(folder / "tokenizer")
    for extra in (folder / "tokenizer").iterdir():
        if extra.name not in ("tokenizer.json", "tokenizer_config.json"):
            extra.unlink()
    file = folder / "tokenizer" / "tokenizer.json"
    compact = json.dumps(json.loads(file.read_text("utf-8")), ensure_ascii=False, separators=(",", ":"))
    file.write_text(compact + "\n", encoding="utf-8")


def load_tokenizer(pack: Path) -> CLIPTokenizer:
    """The class that I2VGenXLPipeline names, of a pack's vocabulary. With ftfy installed it cleans by it."""
    import ftfy  # noqa: F401 - transformers cleans otherwise, and silently, without it

    model = json.loads((pack / "tokenizer" / "tokenizer.json").read_text("utf-8"))["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    with tempfile.TemporaryDirectory() as temporary:
        vocabulary, merges_file = Path(temporary, "vocab.json"), Path(temporary, "merges.txt")
        vocabulary.write_text(json.dumps(model["vocab"]), encoding="utf-8")
        merges_file.write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
        return CLIPTokenizer(str(vocabulary), str(merges_file), model_max_length=77)


def token_ids(pack: Path) -> list:
    tokenizer = load_tokenizer(pack)
    prompts = json.loads((GOLDEN / "prompts.json").read_text("utf-8"))
    # Prompt by prompt, as the pipeline does it; unpaired surrogates cannot reach Python.
    return [tokenizer(prompt, padding="max_length", truncation=True).input_ids for prompt in prompts]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clip-wheel", type=Path, help="remakes tests/fixtures/clip from this wheel of open_clip_torch"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    clip = TESTS / "fixtures" / "clip"
    if arguments.clip_wheel:
        make_clip_fixture(arguments.clip_wheel, clip)
    write("scheduler-timesteps.json", scheduler_timesteps())
    write("scheduler-loops.json", scheduler_loops())
    write("karras-loops.json", karras_loops())
    write("start-indices.json", start_indices())
    write("noise.json", noise())
    write("resized.json", resized())
    write("prepared.json", prepared())
    write("antialiased.json", antialiased())
    write("token-ids-clip.json", token_ids(clip))
    write("token-ids-tiny.json", token_ids(TESTS / "fixtures" / "packs" / "tiny"))


if __name__ == "__main__":
    main()
