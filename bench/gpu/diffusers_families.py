"""What bench:gpu does differently for each family: the UNet's inputs, the VAE, and the pipeline's call."""

from collections.abc import Callable

import torch
from diffusers import DiffusionPipeline
from PIL import Image

Randn = Callable[..., torch.Tensor]


class Family:
    """`plan` is that of bench/gpu.ts; its `request` has what a call gets besides picture, size and steps."""

    def __init__(self, pipe: DiffusionPipeline, plan: dict) -> None:
        self.pipe, self.plan = pipe, plan

    def unet_inputs(self, shape: dict, randn: Randn) -> dict:
        raise NotImplementedError

    def call(self, job: dict, seed: int, image: Image.Image) -> dict:
        raise NotImplementedError

    def encode(self, sample: torch.Tensor) -> object:
        return self.pipe.vae.encode(sample).latent_dist

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class I2VGenXL(Family):
    def unet_inputs(self, shape: dict, randn: Randn) -> dict:
        config, factor = self.pipe.unet.config, self.pipe.vae_scale_factor
        batch, frames = shape["batch"], shape["numFrames"]
        tokens, dim = self.pipe.tokenizer.model_max_length, config.cross_attention_dim
        latents = (batch, config.in_channels, frames, shape["height"] // factor, shape["width"] // factor)
        sample = randn(*latents)
        return {
            "sample": sample,
            "timestep": torch.full((), 501, device=sample.device),
            "fps": torch.full((batch,), self.plan["request"]["target_fps"], device=sample.device),
            "image_latents": randn(*latents),
            "image_embeddings": randn(batch, 1, dim),
            "encoder_hidden_states": randn(batch, tokens, dim),
        }

    def call(self, job: dict, seed: int, image: Image.Image) -> dict:
        prompt = f"{self.plan['prompt']} {seed}"
        return {
            "prompt": prompt,
            "image": image,
            "guidance_scale": job["guidanceScale"],
            **self.plan["request"],
        }

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.pipe.vae.decode(latents).sample


class StableVideoDiffusion(Family):
    def unet_inputs(self, shape: dict, randn: Randn) -> dict:
        config, factor = self.pipe.unet.config, self.pipe.vae_scale_factor
        batch, frames = shape["batch"], shape["numFrames"]
        sample = randn(batch, frames, config.in_channels, shape["height"] // factor, shape["width"] // factor)
        return {
            "sample": sample,
            "timestep": torch.full((), 0.25, device=sample.device),
            "encoder_hidden_states": randn(batch, 1, config.cross_attention_dim),
            "added_time_ids": randn(batch, 3),
        }

    def call(self, job: dict, seed: int, image: Image.Image) -> dict:
        return {"image": image, "max_guidance_scale": job["guidanceScale"], **self.plan["request"]}

    def encode(self, sample: torch.Tensor) -> object:
        """In float32, as the pipeline does it: both ways through the weights are part of it."""
        vae, dtype = self.pipe.vae, self.pipe.vae.dtype
        vae.to(torch.float32)
        encoded = vae.encode(sample.float()).latent_dist
        vae.to(dtype)
        return encoded

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.pipe.vae.decode(latents, num_frames=len(latents)).sample


FAMILIES = {"I2VGenXLPipeline": I2VGenXL, "StableVideoDiffusionPipeline": StableVideoDiffusion}


def family_of(pipe: DiffusionPipeline, plan: dict) -> Family:
    name = type(pipe).__name__
    if name not in FAMILIES:
        raise SystemExit(f"the checkpoint holds a {name}, which this bench does not know")
    return FAMILIES[name](pipe, plan)
