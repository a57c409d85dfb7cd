"""Makes a diffusers folder with random weights: the real classes and sizes of a family, FP16 safetensors.

    python make_random.py OUT --full [--family i2vgen-xl|svd] [--device cuda|cpu] [--parts unet,vae]

For everything about the full-size model that does not depend on what it has learnt: export, speed, memory,
equality with PyTorch. 4.9 GB with all parts (4.5 GB for svd, which is img2vid-xt). The weights are seeded and
keep variances as make_tiny.py's do, zero-initialised temporal convolutions included; the same seed gives the
same weights on the same kind of device. The tokenizer is make_tiny.py's, because the published vocabulary is
not part of this repository.
"""

import argparse
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    I2VGenXLUNet,
    UNetSpatioTemporalConditionModel,
)
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

import i2vgen_xl
import make_tiny_svd
import svd
from make_tiny import BOS, EOS, TOKENS, make_scheduler, make_tokenizer
from manifest import write_json

FAMILIES = {"i2vgen-xl": i2vgen_xl.FAMILY, "svd": svd.FAMILY}
# Configurations of the published checkpoint.
UNET = {"sample_size": 32}  # the class's defaults are the published sizes
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 768,
    "scaling_factor": 0.18125,
}
TEXT_ENCODER = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "vocab_size": 49408,
    "max_position_embeddings": TOKENS,
    "hidden_act": "gelu",
    "projection_dim": 1024,
}
SVD_UNET = {"sample_size": 96, "num_attention_heads": (5, 10, 20, 20), "num_frames": 25}
SVD_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 768,
    "scaling_factor": 0.18215,
}
IMAGE_ENCODER = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 224,
    "hidden_act": "gelu",
    "projection_dim": 1024,
}


# The last layers of residual branches.
RESIDUAL = ("conv2", "conv4.3", "to_out.0", "ff.net.2", "ff_in.net.2", "proj_out", "fc2", "out_proj")


@torch.no_grad()
def with_random_weights(
    make: Callable[[], nn.Module], seed: int, device: str, dtype: torch.dtype = torch.float16
) -> nn.Module:
    """Builds the module without its own, slow initialisation and draws its weights on `device`.

    Weights N(0, 1/fan_in), embeddings N(0, 0.02), small biases, norms off the identity; the last layer of
    each residual branch damped, as in make_tiny.py, so that values stay small enough for FP16 through all
    layers.
    """
    with torch.device("meta"):
        module = make()
    module = module.to(dtype).to_empty(device=device).eval()
    generator = torch.Generator(device).manual_seed(seed)

    def draw(parameter: Tensor, mean: float, std: float) -> None:
        values = torch.empty(parameter.shape, device=device, dtype=torch.float32).normal_(
            mean, std, generator=generator
        )
        parameter.copy_(values)

    for name, buffer in module.named_buffers():
        if not name.endswith("position_ids"):
            raise NotImplementedError(f"nothing is known of the buffer {name}")
        buffer.copy_(torch.arange(buffer.shape[-1], device=device))
    drawn: set[int] = set()
    for name, child in module.named_modules():
        if isinstance(child, (nn.Linear, nn.Conv2d, nn.Conv3d)):
            damping = 0.6 if name.endswith(RESIDUAL) else 1
            draw(child.weight, 0, damping / math.sqrt(child.weight[0].numel()))
            if child.bias is not None:
                draw(child.bias, 0, 0.05)
        elif isinstance(child, (nn.GroupNorm, nn.LayerNorm)):
            draw(child.weight, 1, 0.1)
            draw(child.bias, 0, 0.05)
        elif isinstance(child, nn.Embedding):
            draw(child.weight, 0, 0.02)
        else:
            continue
        drawn.update(id(parameter) for parameter in child.parameters(recurse=False))
    for name, parameter in module.named_parameters():
        if id(parameter) not in drawn:
            draw(parameter, 0, 1.5 if name.endswith("mix_factor") else 0.02)
    return module


def make_unet(
    device: str, dtype: torch.dtype = torch.float16, seed: int = 0, **changes: object
) -> I2VGenXLUNet:
    return with_random_weights(lambda: I2VGenXLUNet(**{**UNET, **changes}), seed, device, dtype)


def make_vae(device: str, dtype: torch.dtype = torch.float16, seed: int = 1) -> AutoencoderKL:
    vae = with_random_weights(lambda: AutoencoderKL(**VAE), seed, device, dtype)
    with torch.no_grad():
        # Latents of about 1 after scaling; frames inside [-1, 1].
        channels = vae.config.latent_channels
        vae.quant_conv.weight[:channels] *= 1 / vae.config.scaling_factor
        vae.quant_conv.weight[channels:] *= 0.3
        vae.decoder.conv_out.weight *= 0.35
    return vae


def make_svd_unet(
    device: str, dtype: torch.dtype = torch.float16, seed: int = 0, **changes: object
) -> UNetSpatioTemporalConditionModel:
    config = {**SVD_UNET, **changes}
    return with_random_weights(lambda: UNetSpatioTemporalConditionModel(**config), seed, device, dtype)


def make_svd_vae(
    device: str, dtype: torch.dtype = torch.float16, seed: int = 1
) -> AutoencoderKLTemporalDecoder:
    vae = with_random_weights(lambda: AutoencoderKLTemporalDecoder(**SVD_VAE), seed, device, dtype)
    with torch.no_grad():
        # The mean goes to the UNet unscaled; frames inside [-1, 1].
        vae.decoder.time_conv_out.weight *= 0.35
    return vae


def make_image_encoder(device: str) -> nn.Module:
    config = CLIPVisionConfig(**IMAGE_ENCODER)
    return with_random_weights(lambda: CLIPVisionModelWithProjection(config), 3, device)


def write_parts(folder: Path, makers: dict[str, Callable[[], nn.Module]], parts: list[str]) -> None:
    for part in parts:
        model = makers[part]()
        count = sum(parameter.numel() for parameter in model.parameters())
        model.save_pretrained(folder / part, max_shard_size="8GB")
        print(f"{part}: {count:,} weights", flush=True)
        del model


def write_feature_extractor(folder: Path) -> None:
    size = IMAGE_ENCODER["image_size"]
    crop = {"height": size, "width": size}
    extractor = CLIPImageProcessor(size={"shortest_edge": size}, crop_size=crop)
    extractor.save_pretrained(folder / "feature_extractor")


def write_checkpoint(folder: Path, device: str, parts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = make_tokenizer(Path(scratch))
    tokenizer.save_pretrained(folder / "tokenizer")
    bos, eos = tokenizer.convert_tokens_to_ids([BOS, EOS])
    text_config = CLIPTextConfig(**TEXT_ENCODER, bos_token_id=bos, eos_token_id=eos, pad_token_id=eos)
    write_feature_extractor(folder)
    make_scheduler().save_pretrained(folder / "scheduler")
    makers = {
        "unet": lambda: make_unet(device),
        "vae": lambda: make_vae(device),
        "text_encoder": lambda: with_random_weights(lambda: CLIPTextModel(text_config), 2, device),
        "image_encoder": lambda: make_image_encoder(device),
    }
    write_parts(folder, makers, parts)
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "I2VGenXLPipeline",
            "feature_extractor": ["transformers", "CLIPImageProcessor"],
            "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "I2VGenXLUNet"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )


def write_svd_checkpoint(folder: Path, device: str, parts: list[str]) -> None:
    write_feature_extractor(folder)
    make_tiny_svd.make_scheduler().save_pretrained(folder / "scheduler")
    makers = {
        "unet": lambda: make_svd_unet(device),
        "vae": lambda: make_svd_vae(device),
        "image_encoder": lambda: make_image_encoder(device),
    }
    write_parts(folder, makers, parts)
    write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableVideoDiffusionPipeline",
            "feature_extractor": ["transformers", "CLIPImageProcessor"],
            "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
            "scheduler": ["diffusers", "EulerDiscreteScheduler"],
            "unet": ["diffusers", "UNetSpatioTemporalConditionModel"],
            "vae": ["diffusers", "AutoencoderKLTemporalDecoder"],
        },
    )


WRITERS = {"i2vgen-xl": write_checkpoint, "svd": write_svd_checkpoint}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--full", action="store_true", required=True, help="the published sizes; make_tiny.py makes tiny ones"
    )
    parser.add_argument("--family", choices=FAMILIES, default="i2vgen-xl")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", help="only these, with commas between, for a test of them")
    args = parser.parse_args()
    known = FAMILIES[args.family].parts
    parts = args.parts.split(",") if args.parts else list(known)
    if unknown := set(parts) - set(known):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    WRITERS[args.family](args.out, args.device, parts)


if __name__ == "__main__":
    main()
