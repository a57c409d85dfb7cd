"""Writes kinora.json, the manifest of a model pack. Its schema is src/inference/packs/manifest.ts."""

import hashlib
import json
from pathlib import Path
from typing import Any

# Recommended by the authors of I2VGen-XL (VGen, configs/i2vgen_xl_infer.yaml).
NEGATIVE_PROMPT = (
    "Distorted, discontinuous, Ugly, blurry, low resolution, motionless, static, disfigured, "
    "disconnected limbs, Ugly faces, incomplete arms"
)

# What the published I2VGen-XL can do: trained at 1280x704 with 16 and 32 frames. Its latents are 1/8 of the
# picture and the UNet halves them three times, so sizes are multiples of 64.
I2VGEN_XL: dict[str, Any] = {
    "id": "i2vgen-xl",
    "title": "I2VGen-XL",
    "family": "i2vgen-xl",
    "licence": "Weights: research and non-commercial use only (see models/README.md)",
    "source": "ali-vilab/i2vgen-xl, exported from its diffusers checkpoint",
    "sizeMultiple": 64,
    "limits": {
        "side": {"min": 256, "max": 1280},
        "pixels": {"min": 256 * 256, "max": 1024 * 1024},
        "numFrames": {"min": 8, "max": 32},
        "numInferenceSteps": {"min": 1, "max": 100},
        "guidanceScale": {"min": 1, "max": 20},
        "targetFps": {"min": 1, "max": 60},
    },
    "motionFps": {"low": 24, "medium": 16, "high": 8},
    "defaults": {
        "scheduler": "ddim",
        "prompt": "gentle natural motion",
        "negativePrompt": NEGATIVE_PROMPT,
        "fps": 8,
        "decodeChunkSize": 2,
    },
}


def write_manifest(
    pack: Path, *, flavour: str, architecture: dict, card: dict, requires: dict | None = None
) -> None:
    """Lists every file of the pack with its size and SHA-256. `card` says of the model what the exporter
    cannot read from its weights, with the manifest's own keys. `requires` names the device that the graphs
    need and what else they were made for; without it they run on every device.
    """
    first = ("id", "title", "family", "licence", "source")
    manifest = {
        "kinora": 1,
        **{key: card[key] for key in ("id", "title", "family")},
        "flavour": flavour,
        **({"requires": requires} if requires else {}),
        **{key: card[key] for key in ("licence", "source")},
        "architecture": architecture,
        **{key: value for key, value in card.items() if key not in first},
    }
    paths = sorted(p for p in pack.rglob("*") if p.is_file() and p != pack / "kinora.json")
    manifest["files"] = [
        {"path": p.relative_to(pack).as_posix(), "bytes": p.stat().st_size, "sha256": sha256(p)}
        for p in paths
    ]
    write_json(pack / "kinora.json", manifest)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
