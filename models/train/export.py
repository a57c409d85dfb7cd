"""Weights → models/builtin: six ONNX graphs, their check against PyTorch, and the manifest."""

import hashlib
import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import arranged
import make_tokenizer
import motion
import nets
from graphs import Graph, check, save, trace

ID = "kinora-builtin-1"

# The networks of nets.py by the names of their weight files.
Parts = dict[str, nn.Module]


class VaeEncoder(nn.Module):
    """Moments as a VAE gives them. The standard deviation is exp(-15), so the latents are the mean."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, sample: Tensor) -> Tensor:
        mean = self.encoder(sample)
        return torch.cat([mean, torch.zeros_like(mean) - 30.0], 1)


class VaeDecoder(nn.Module):
    """Beside the sample (n, 3, H, W) the same as pixels (n, H, W, 3), and a mean that is finite only if all
    of it is.
    """

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sample = self.decoder(latent)
        rgb = (sample * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return sample, rgb, sample.mean()


def load_all(weights: Path, tokenizer_path: Path) -> Parts:
    tokenizer, end = make_tokenizer.load(tokenizer_path)
    parts: Parts = {
        "text_encoder": nets.TextEncoder(tokenizer.get_vocab_size(), end),
        "motion_head": nets.MotionHead(),
        "vae_encoder": nets.make_vae_encoder(),
        "vae_decoder": nets.make_vae_decoder(),
        "picture_decoder": nets.make_picture_decoder(),
        "frame_encoder": nets.make_frame_encoder(),
        "unet_core": nets.Denoiser(),
        "image_encoder": nets.ImageEncoder(),
    }
    for name, module in parts.items():
        state = torch.load(Path(weights) / f"{name}.pt", map_location="cpu", weights_only=True)
        module.load_state_dict({k: v.float() for k, v in state.items()})
        module.eval().requires_grad_(False)
        for parameter in module.parameters():
            if parameter.numel() >= 256:
                parameter.copy_(parameter.half().float())
    return parts


def make_graphs(parts: Parts) -> dict[str, Graph]:
    torch.manual_seed(0)
    c, d = nets.LATENTS, nets.EMBED
    frames, h, w = 3, 16, 20

    def conditioner(frame_encoder: nn.Module) -> nets.Conditioner:
        return nets.Conditioner(parts["motion_head"], parts["picture_decoder"], frame_encoder).eval()

    rows = {0: "B"}
    volume = {2: "F", 3: "h", 4: "w"}
    volumes = rows | volume
    words = torch.randn(2, 77, d)
    return {
        "text_encoder": Graph(
            parts["text_encoder"],
            {"input_ids": torch.randint(0, 9000, (2, 77))},
            ["prompt_embeds"],
            {"input_ids": {0: "n", 1: "T"}, "prompt_embeds": {0: "n", 1: "T"}},
        ),
        "image_encoder": Graph(
            parts["image_encoder"],
            {"pixel_values": torch.randn(1, 3, nets.IMAGE_SIDE, nets.IMAGE_SIDE)},
            ["image_embeds"],
            {"pixel_values": {0: "n"}, "image_embeds": {0: "n"}},
        ),
        "vae_encoder": Graph(
            VaeEncoder(parts["vae_encoder"]),
            {"sample": torch.rand(1, 3, 4 * h, 4 * w) * 2 - 1},
            ["moments"],
            {"sample": {0: "n", 2: "H", 3: "W"}, "moments": {0: "n", 2: "h", 3: "w"}},
        ),
        "vae_decoder": Graph(
            VaeDecoder(parts["vae_decoder"]),
            {"latent": torch.randn(2, c, h, w)},
            ["sample", "rgb", "mean"],
            {
                "latent": {0: "n", 2: "h", 3: "w"},
                "sample": {0: "n", 2: "H", 3: "W"},
                "rgb": {0: "n", 1: "H", 2: "W"},
            },
        ),
        "unet_cond": Graph(
            conditioner(arranged.Encoder(parts["frame_encoder"])),
            {
                "fps": torch.tensor([16]),
                "image_latents": torch.randn(1, c, frames, h, w),
                "image_embeddings": torch.randn(2, 1, d),
                "encoder_hidden_states": words,
            },
            ["fps_emb", "context", "image_latents_enc"],
            {
                "image_latents": volume,
                "image_embeddings": rows,
                "encoder_hidden_states": {0: "B", 1: "T"},
                "context": rows,
                "image_latents_enc": volumes,
            },
            conditioner(parts["frame_encoder"]),
        ),
        "unet_core": Graph(
            arranged.Core(parts["unet_core"]).eval(),
            {
                "sample": torch.randn(1, c, frames, h, w),
                "timestep": torch.tensor([499]),
                "fps_emb": torch.randn(1, 64),
                "context": torch.randn(2, 2, d),
                "image_latents_enc": torch.randn(2, c, frames, h, w),
                "factors": torch.randn(3),
            },
            ["out_sample"],
            {
                "sample": volume,
                "context": rows,
                "image_latents_enc": volumes,
                "factors": {0: "1 + B"},
                "out_sample": volume,
            },
            parts["unet_core"].step,
        ),
    }


def other_shapes(name: str, parts: Parts) -> list[tuple[Tensor, ...]]:
    """More shapes than the traced one: other sizes, frame counts and one or two rows."""
    torch.manual_seed(1)
    c, d = nets.LATENTS, nets.EMBED
    feeds = []
    for batch, frames, h, w in ((1, 8, 24, 16), (2, 5, 16, 32), (1, 1, 16, 16)):
        latents = torch.randn(1, c, frames, h, w)
        image_latents = latents.clone()
        for k in range(1, frames):
            image_latents[:, :, k] = k / (frames - 1)
        ids = torch.randint(0, 9000, (batch, 77))
        with torch.no_grad():
            words = parts["text_encoder"](ids)
        feeds.append(
            {
                "text_encoder": (ids,),
                "image_encoder": (torch.randn(1, 3, nets.IMAGE_SIDE, nets.IMAGE_SIDE),),
                "vae_encoder": (torch.rand(1, 3, 4 * h, 4 * w) * 2 - 1,),
                "vae_decoder": (torch.randn(frames, c, h, w),),
                "unet_cond": (torch.tensor([8 + frames]), image_latents, torch.randn(batch, 1, d), words),
                "unet_core": (
                    latents,
                    torch.tensor([100 * frames]),
                    torch.randn(1, 64),
                    torch.randn(batch, 2, d),
                    torch.randn(batch, c, frames, h, w),
                    torch.randn(1 + batch),
                ),
            }[name]
        )
    return feeds


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_manifest(pack: Path) -> None:
    manifest = {
        "kinora": 1,
        "id": ID,
        "title": "Kinora built-in",
        "family": "i2vgen-xl",
        "flavour": "plain",
        "licence": "MIT",
        "source": "trained by models/train on procedural pictures, public-domain photographs "
        "and generated captions",
        "architecture": {
            "latentChannels": nets.LATENTS,
            "vaeScaleFactor": nets.PATCH,
            "vaeScalingFactor": 1.0,
            "maxTokens": nets.MAX_TOKENS,
            "imageEncoderSize": nets.IMAGE_SIDE,
            "imageMean": [0.5, 0.5, 0.5],
            "imageStd": [0.5, 0.5, 0.5],
        },
        "sizeMultiple": 16,
        "limits": {
            "side": {"min": 128, "max": 1024},
            "pixels": {"min": 128 * 128, "max": 768 * 768},
            "numFrames": {"min": 1, "max": 32},
            "numInferenceSteps": {"min": 1, "max": 50},
            "guidanceScale": {"min": 1, "max": 2},
            "targetFps": {"min": 4, "max": 32},
        },
        "motionFps": {"low": 24, "medium": 16, "high": 8},
        "defaults": {"scheduler": "ddim", "prompt": "", "negativePrompt": "", "fps": 8, "decodeChunkSize": 2},
        "presets": {
            "fast": {"size": 256, "numFrames": 8, "numInferenceSteps": 4, "guidanceScale": 1},
            "standard": {"size": 448, "numFrames": 16, "numInferenceSteps": 5, "guidanceScale": 1},
            "high": {"size": 512, "numFrames": 24, "numInferenceSteps": 8, "guidanceScale": 1},
            "creative": {"size": 448, "numFrames": 16, "numInferenceSteps": 5, "guidanceScale": 1},
        },
        # unet_core's answer depends on what is asked for alone, not on how it is asked.
        "ignoredOptions": [
            "negativePrompt",
            "numInferenceSteps",
            "guidanceScale",
            "guidanceEnd",
            "scheduler",
        ],
        # unet_cond says in its context which of these it understood.
        "motions": motion.KINDS,
    }
    # The two texts for people may be edited without a new export.
    paths = sorted(
        p
        for p in pack.rglob("*")
        if p.is_file() and p.name != "kinora.json" and p.suffix not in (".md", ".png")
    )
    manifest["files"] = [
        {
            "path": p.relative_to(pack).as_posix(),
            "bytes": p.stat().st_size,
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
        }
        for p in paths
    ]
    write_json(pack / "kinora.json", manifest)


def main(weights: Path, pack: Path) -> None:
    torch.set_num_threads(2)
    parts = load_all(weights, pack / "tokenizer" / "tokenizer.json")
    total = 0
    for name, graph in make_graphs(parts).items():
        path = pack / name / "model.onnx"
        save(trace(graph), path)
        total += path.stat().st_size
        feeds = [tuple(graph.inputs.values()), *other_shapes(name, parts)]
        check(name, graph.reference or graph.module, path, feeds)
    print(f"{total / 1e6:.1f} MB in all")
    write_json(pack / "model_index.json", {"_class_name": "I2VGenXLPipeline"})
    write_json(
        pack / "scheduler" / "scheduler_config.json",
        {
            "_class_name": "DDIMScheduler",
            "beta_start": 0.0001,
            "beta_end": 0.02,
            "beta_schedule": "squaredcos_cap_v2",
            "clip_sample": False,
            "clip_sample_range": 1.0,
            "num_train_timesteps": nets.TRAIN_STEPS,
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
            "set_alpha_to_one": True,
            "steps_offset": 1,
            "thresholding": False,
            "timestep_spacing": "trailing",
            "trained_betas": None,
        },
    )
    write_manifest(pack)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
