"""CLIP's image encoder, which all families share."""

from pathlib import Path
from typing import Any

import torch
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

import graphs
from onnx_files import save_graph
from options import Options
from precision import in_precision
from progress import step


def export_image_encoder_of(
    checkpoint: str, out: Path, variant: str | None, options: Options
) -> dict[str, Any]:
    """Reads it and exports it. Returns its part of the manifest's `architecture`."""
    feature_extractor = CLIPImageProcessor.from_pretrained(checkpoint, subfolder="feature_extractor")
    with step("image_encoder: reading the weights"):
        image_encoder = CLIPVisionModelWithProjection.from_pretrained(
            checkpoint, subfolder="image_encoder", dtype=torch.float32, variant=variant
        ).eval()
    size = image_encoder.config.image_size
    crop_size = dict(feature_extractor.crop_size)
    if crop_size != {"height": size, "width": size}:
        raise SystemExit(f"the feature extractor crops to {crop_size}, the image encoder takes {size}")
    export_image_encoder(image_encoder, out, options)
    return {
        "imageEncoderSize": size,
        "imageMean": list(feature_extractor.image_mean),
        "imageStd": list(feature_extractor.image_std),
    }


def export_image_encoder(image_encoder: CLIPVisionModelWithProjection, out: Path, options: Options) -> None:
    size = image_encoder.config.image_size
    cases = []
    for _ in range(2):
        pixels = torch.randn(1, 3, size, size)
        with torch.no_grad():
            cases.append(({"pixel_values": pixels}, {"image_embeds": image_encoder(pixels).image_embeds}))
    save_graph(in_precision(graphs.ImageEncoder(image_encoder), options), cases, out / "image_encoder", {})
    options.check(out, cases, ["image_encoder"])
