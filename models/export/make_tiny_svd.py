"""Makes the tiny Stable Video Diffusion of the tests: real diffusers and transformers classes, random
weights.

    python make_tiny_svd.py CHECKPOINT PACK

Writes a diffusers folder to CHECKPOINT and its export, with --deepcache, to PACK. Three levels, every kind of
block but CrossAttnDownBlock, which is left out for the size of the pack and which test_svd.py has, the
published scheduler configuration, a VAE of factor 8. Every parameter is drawn anew, the shares of the
AlphaBlenders and all biases too: a fresh model has nothing there that a mistake could change.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from torch import nn
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from export import export_pack
from make_tiny import scale_weights
from options import Options
from svd import card_of

DIM = 48
FRAMES = 25
# The pipeline makes pictures of this size whatever the encoder takes.
IMAGE_SIZE = 224

CARD = card_of(FRAMES)
TINY: dict[str, Any] = {
    **CARD,
    "id": "tiny-svd",
    "title": "Tiny Stable Video Diffusion for tests",
    "licence": "MIT",
    "source": "random weights, made by models/export/make_tiny_svd.py",
    "limits": {
        **CARD["limits"],
        "side": {"min": 64, "max": 512},
        "pixels": {"min": 64 * 64, "max": 512 * 512},
        "numFrames": {"min": 1, "max": FRAMES},
    },
    "presets": {
        "fast": {"size": 64, "numFrames": 4, "numInferenceSteps": 3, "guidanceScale": 3},
        "standard": {"size": 64, "numFrames": 5, "numInferenceSteps": 5, "guidanceScale": 3},
        "high": {"size": 128, "numFrames": 6, "numInferenceSteps": 8, "guidanceScale": 3},
        "creative": {"size": 64, "numFrames": 5, "numInferenceSteps": 5, "guidanceScale": 2.5},
    },
}


def make_scheduler() -> EulerDiscreteScheduler:
    """The scheduler of the published Stable Video Diffusion."""
    return EulerDiscreteScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_type="continuous",
        timestep_spacing="leading",
        steps_offset=1,
        interpolation_type="linear",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
    )


def make_unet(**changes: object) -> UNetSpatioTemporalConditionModel:
    """`changes` replaces arguments, for a test of other widths."""
    torch.manual_seed(0)
    config = {
        "sample_size": 8,
        # The norms have 32 groups. Where that is one channel per group, the norm takes away what the
        # embedding of timestep and clip added, so one level is twice as wide. The published model has one
        # more level; here that would have one or two cells, and a norm of two numbers gives their signs.
        "block_out_channels": (32, 64, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownBlockSpatioTemporal",) * 3,
        "up_block_types": (*("UpBlockSpatioTemporal",) * 2, "CrossAttnUpBlockSpatioTemporal"),
        "cross_attention_dim": DIM,
        "num_attention_heads": (4, 4, 4),
        "addition_time_embed_dim": 16,
        "projection_class_embeddings_input_dim": 48,
        "num_frames": FRAMES,
    }
    unet = UNetSpatioTemporalConditionModel(**{**config, **changes})
    scale_weights(unet)
    draw_shares(unet)
    with torch.no_grad():
        # Residual branches are damped, so that rounding errors do not grow from step to step; not those that
        # say what the picture, the frame's number and the clip's numbers are.
        for name, module in unet.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv3d)):
                is_branch = name.endswith(("conv2", "attn1.to_out.0", "ff.net.2", "ff_in.net.2", "proj_out"))
                module.weight *= 0.5 if is_branch else 1
                # A small change of the timestep or of the clip's numbers is to be seen in the output.
                if name in ("time_embedding.linear_1", "add_embedding.linear_1"):
                    module.weight *= 3
                elif name.endswith("time_emb_proj"):
                    module.weight *= 4
        unet.conv_out.weight *= 0.4
    return unet.eval()


def make_vae(**changes: object) -> AutoencoderKLTemporalDecoder:
    torch.manual_seed(0)
    config = {
        "block_out_channels": (32, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "layers_per_block": 2,  # with one, the decoder leaves its attention out
        "sample_size": 64,
        "scaling_factor": 0.18215,
    }
    vae = AutoencoderKLTemporalDecoder(**{**config, **changes})
    scale_weights(vae)
    draw_shares(vae)
    with torch.no_grad():
        # The mean goes to the UNet unscaled; frames inside [-1, 1].
        vae.quant_conv.weight[4:] *= 0.3
        vae.decoder.time_conv_out.weight *= 0.35
    return vae.eval()


def make_image_encoder() -> CLIPVisionModelWithProjection:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=16,
        projection_dim=DIM,
        hidden_act="gelu",
    )
    image_encoder = CLIPVisionModelWithProjection(config)
    scale_weights(image_encoder)
    return image_encoder.eval()


def make_feature_extractor() -> CLIPImageProcessor:
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return CLIPImageProcessor(size={"shortest_edge": IMAGE_SIZE}, crop_size=size)


@torch.no_grad()
def draw_shares(model: nn.Module) -> None:
    """AlphaBlenders off one half, where both of their inputs would weigh the same."""
    for name, parameter in model.named_parameters():
        if name.endswith("mix_factor"):
            parameter.normal_(0, 1.5)


def make_checkpoint(folder: Path) -> StableVideoDiffusionPipeline:
    pipeline = StableVideoDiffusionPipeline(
        vae=make_vae(),
        image_encoder=make_image_encoder(),
        unet=make_unet(),
        scheduler=make_scheduler(),
        feature_extractor=make_feature_extractor(),
    )
    pipeline.save_pretrained(folder)
    return pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path, help="folder for the diffusers checkpoint")
    parser.add_argument("pack", type=Path, help="folder for the exported pack")
    args = parser.parse_args()
    make_checkpoint(args.checkpoint)
    export_pack(str(args.checkpoint), args.pack, TINY, options=Options(deepcache=True))


if __name__ == "__main__":
    main()
