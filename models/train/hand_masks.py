"""How well masks.py and local.py keep to what moves in a picture: against masks drawn by hand.

`python hand_masks.py [GROUP …]` prints a table for the photographs of tests/fixtures/masks, those of groups
1 to 3 where none is named. None of them is in training. Thresholds were set by groups 1 to 3; group 4 was
measured once, when all was done.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

import local
import masks

FOLDER = Path(__file__).parents[2] / "tests" / "fixtures" / "masks"
# What moves where, in the order of the masks.
PLACES = ("water", "foliage", "sky")
KINDS = {"waves": local.WAVES, "sway": local.SWAY, "clouds": local.CLOUDS}
FRAMES = 8


@dataclass
class Photo:
    name: str
    group: int
    # (1, 3, H, W) in -1 … 1.
    picture: Tensor
    # Drawn by hand, (1, 3, H, W), 0 or 1.
    drawn: Tensor
    # Lines that must stay straight, each (x, y) to (x, y) in pixels.
    straight: list[list[list[float]]]


def photos() -> list[Photo]:
    result = []
    for entry in json.loads((FOLDER / "masks.json").read_text())["photos"]:
        image = Image.open(FOLDER / entry["file"]).convert("RGB")
        width, height = image.size
        drawn = []
        for kind in PLACES:
            layer = Image.new("1", image.size, entry["ground"] == kind)
            draw = ImageDraw.Draw(layer)
            for area in entry["areas"]:
                outline = [(x * width / 100, y * height / 100) for x, y in area["outline"]]
                draw.polygon(outline, fill=area["kind"] == kind)
            drawn.append(torch.from_numpy(np.array(layer)).float())
        lines = [[[x * width / 100, y * height / 100] for x, y in line] for line in entry["straight"]]
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1
        name = entry["file"].removesuffix(".jpg")
        result.append(Photo(name, entry["group"], pixels[None], torch.stack(drawn)[None], lines))
    return result


def asked(speed: int, *kinds: int) -> Tensor:
    """One-hot classes (1, 29, 4) with these kinds at one speed (1 slow … 3 fast)."""
    hot = torch.zeros(1, 29, 4)
    hot[:, :, 0] = 1
    for kind in kinds:
        hot[:, kind, 0], hot[:, kind, speed] = 0, 1
    return hot


def draws(seed: int) -> tuple[Tensor, Tensor]:
    """Course and details (1, 32) of a seed."""
    numbers = torch.rand(2, 1, 32, generator=torch.Generator().manual_seed(seed))
    return numbers[0], numbers[1]


def still(height: int, width: int, frames: int) -> Tensor:
    """The grid of a camera that stands still: (F, H, W, 2)."""
    y = (2 * torch.arange(height) + 1 - height) / height
    x = (2 * torch.arange(width) + 1 - width) / width
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).expand(
        frames, -1, -1, -1
    )


def clip(picture: Tensor, parts: tuple[Tensor, Tensor, Tensor, Tensor], p: Tensor) -> tuple[Tensor, Tensor]:
    """Frames (F, 3, H, W) and the field's displacement in pixels (F, 2, H, W), the further of two looks."""
    height, width = picture.shape[2:]
    field = local.field(parts, p)
    frames = local.look(picture, still(height, width, len(p)), field)
    full = F.interpolate(field, size=(height, width), mode="bilinear", align_corners=False)
    across = torch.where(full[:, 3] > 0, torch.maximum(full[:, 0].abs(), full[:, 2].abs()), full[:, 0].abs())
    return frames, torch.stack([across * width / 2, full[:, 1] * height / 2], 1)


@dataclass
class Result:
    kind: str
    fits: bool
    # Part of the picture that the mask covers, and that is drawn.
    found: float
    drawn: float
    # Part of the difference between frames and picture, and of the squared displacement, inside the drawn
    # mask.
    energy_inside: float
    way_inside: float
    # Largest displacement on a line that must stay straight, in pixels.
    bent: float


def measure(photo: Photo, net: masks.Masks, speed: int = 2, seed: int = 1) -> list[Result]:
    """One result for each of waves, sway and clouds, asked for alone, whether it fits or not."""
    m = net(photo.picture)
    fitting = masks.fits(m)[0]
    p = torch.linspace(0, 1, FRAMES + 1)[1:-1]
    results = []
    for i, (kind, index) in enumerate(KINDS.items()):
        parts = local.maps(m, asked(speed, index), torch.ones(1), *draws(seed))
        frames, way = clip(photo.picture, parts, p)
        drawn = photo.drawn[:, i]
        change = (frames - photo.picture).square().sum(1)
        squares = way.square().sum(1)
        bent = 0.0
        for (x1, y1), (x2, y2) in photo.straight:
            t = torch.linspace(0, 1, 400)
            x, y = (x1 + (x2 - x1) * t).long(), (y1 + (y2 - y1) * t).long()
            bent = max(bent, float(squares[:, y, x].max().sqrt()))
        results.append(
            Result(
                kind,
                bool(fitting[i]),
                float(m[:, i].mean()),
                float(drawn.mean()),
                float((change * drawn).sum() / change.sum().clamp(min=1e-9)),
                float((squares * drawn).sum() / squares.sum().clamp(min=1e-9)),
                bent,
            )
        )
    return results


def main() -> None:
    groups = [int(n) for n in sys.argv[1:]] or [1, 2, 3]
    net = masks.load()
    print("photo                   kind    fits  found  drawn energy    way   bent")
    for photo in sorted((p for p in photos() if p.group in groups), key=lambda each: each.group):
        for r in measure(photo, net):
            if r.fits or r.drawn > 0.02:
                name = f"{photo.group} {photo.name}"
                numbers = (r.found, r.drawn, r.energy_inside, r.way_inside, r.bent)
                print(f"{name:23} {r.kind:7} {'yes' if r.fits else 'no':4}", *(f"{n:6.2f}" for n in numbers))


if __name__ == "__main__":
    main()
