"""The photographs that mask_labels.json names, with their masks drawn by hand, as one file to carry to a GPU.

`python mask_photos.py PHOTOS PACK` reads the photographs below the folder PHOTOS and writes PACK (.npz, some
20 MB). PHOTOS has one folder for each source that mask_labels.json names, with the source's files as they
are: Debian's packages and PyPI's wheels unpacked, the images of the other ones without their folders.
"""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

LABELS = Path(__file__).with_name("mask_labels.json")
KINDS = ("none", "water", "foliage", "sky", "soft", "skip")
NONE, WATER, FOLIAGE, SKY, SOFT, SKIP = range(6)
# Long side of a photograph; a panorama is as it comes, twice as wide as high.
SIDE = 640
# Outlines are drawn to about this many pixels; what is nearer to one is not counted.
DOUBT = 3


@dataclass
class Labelled:
    """A photograph (h, w, 3) and the index in KINDS of what each pixel shows (h, w)."""

    picture: np.ndarray
    label: np.ndarray
    panorama: bool
    # How often it is drawn, against the others.
    times: int


def radiance(path: Path) -> np.ndarray:
    """Light (h, w, 3) of a Radiance picture (.hdr) whose rows are run-length coded, as all of today are."""
    data = path.read_bytes()
    start = data.index(b"\n\n") + 2
    end = data.index(b"\n", start)
    words = data[start:end].split()
    height, width = int(words[1]), int(words[3])
    codes, at = np.frombuffer(data, np.uint8, offset=end + 1), 0
    rows = np.zeros((height, 4, width), np.uint8)
    for row in rows:
        at += 4
        for channel in row:
            x = 0
            while x < width:
                count, at = int(codes[at]), at + 1
                if count > 128:
                    count -= 128
                    channel[x : x + count], at = codes[at], at + 1
                else:
                    channel[x : x + count], at = codes[at : at + count], at + count
                x += count
    scale = np.exp2(rows[:, 3].astype(np.float32) - 136)
    return rows[:, :3].transpose(0, 2, 1) * scale[..., None]


def _toned(light: np.ndarray) -> Image.Image:
    """Light as a photograph shows it: the middle at 0.22, highlights rolled off (Reinhard 2002)."""
    middle = np.exp(np.log(light.mean(2) + 1e-4).mean())
    light = light * (0.22 / middle)
    white = np.percentile(light, 99) + 1e-6
    light = light * (1 + light / white**2) / (1 + light)
    return Image.fromarray((light.clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8))


def _label(size: tuple[int, int], ground: str, areas: list[dict]) -> np.ndarray:
    drawn = Image.new("L", size, KINDS.index(ground))
    draw = ImageDraw.Draw(drawn)
    for area in areas:
        outline = [(x * size[0] / 100, y * size[1] / 100) for x, y in area["outline"]]
        draw.polygon(outline, fill=KINDS.index(area["kind"]))
    around = 2 * DOUBT + 1
    near, far = (
        np.array(drawn.filter(kind(around))) for kind in (ImageFilter.MinFilter, ImageFilter.MaxFilter)
    )
    label = np.array(drawn)
    label[near != far] = SKIP
    return label


def read(folder: Path) -> list[tuple[Image.Image, np.ndarray, bool, int]]:
    """Raises SystemExit where photographs are missing."""
    entries = json.loads(LABELS.read_text())["photos"]
    missing = sorted({e["from"] for e in entries if not (folder / e["file"]).is_file()})
    if missing:
        raise SystemExit(f"Photographs are missing below {folder}: {', '.join(missing)}")
    result = []
    for e in entries:
        path, panorama = folder / e["file"], e["file"].endswith(".hdr")
        if panorama:
            image = _toned(radiance(path))
        else:
            image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        result.append((image, _label(image.size, e["ground"], e["areas"]), panorama, e.get("times", 1)))
    return result


def _coded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=88)
    return buffer.getvalue()


def write(photos: list[tuple[Image.Image, np.ndarray, bool, int]], path: Path) -> None:
    pictures = [_coded(image, "JPEG") for image, _, _, _ in photos]
    labels = [_coded(Image.fromarray(label), "PNG") for _, label, _, _ in photos]
    np.savez(
        path,
        pictures=np.frombuffer(b"".join(pictures), np.uint8),
        picture_ends=np.cumsum([len(p) for p in pictures]),
        labels=np.frombuffer(b"".join(labels), np.uint8),
        label_ends=np.cumsum([len(p) for p in labels]),
        panorama=np.array([panorama for _, _, panorama, _ in photos]),
        times=np.array([times for _, _, _, times in photos]),
    )


def load(path: Path) -> list[Labelled]:
    pack = np.load(path)

    def images(name: str, mode: str) -> list[np.ndarray]:
        parts = np.split(pack[name + "s"], pack[name + "_ends"][:-1])
        return [np.array(Image.open(io.BytesIO(part.tobytes())).convert(mode)) for part in parts]

    columns = zip(
        images("picture", "RGB"), images("label", "L"), pack["panorama"], pack["times"], strict=True
    )
    return [Labelled(picture, label, bool(p), int(t)) for picture, label, p, t in columns]


if __name__ == "__main__":
    write(read(Path(sys.argv[1])), Path(sys.argv[2]))
