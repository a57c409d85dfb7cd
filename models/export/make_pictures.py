"""Makes the pictures that the decoding tests read, good and bad, and what Pillow sees in the good ones.

    python make_pictures.py

Writes tests/fixtures/pictures and tests/golden/numerics/decoded.json.
"""

import base64
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

TESTS = Path(__file__).resolve().parents[2] / "tests"
PICTURES = TESTS / "fixtures" / "pictures"
GOLDEN = TESTS / "golden" / "numerics" / "decoded.json"

WIDTH, HEIGHT = 48, 32
ORIENTATION = 0x0112


def make_picture() -> np.ndarray:
    """Smooth, so that JPEG hardly changes it, and different in each corner, so that a turned copy is seen."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    red = 230 - 4 * x
    green = 20 + 6 * y
    blue = 40 + 2 * x + 2 * y
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def encode(image: PIL.Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, color: int, data: bytes, extra: bytes = b"") -> bytes:
    """A PNG of raw, unfiltered rows: Pillow does not write 16-bit colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = len(data) // height
    filtered = b"".join(b"\0" + data[y * rows : (y + 1) * rows] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(filtered, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + pixels + chunk(b"IEND", b"")


def good_pictures() -> dict[str, tuple[bytes, np.ndarray | None, int]]:
    """Name → file, expected RGB pixels (None: what Pillow reads, upright), largest allowed difference."""
    pixels = make_picture()
    image = PIL.Image.fromarray(pixels)
    grey = image.convert("L")
    grey_pixels = np.repeat(np.asarray(grey)[..., None], 3, axis=-1)
    pictures = {
        "plain.png": (encode(image, "PNG"), pixels, 0),
        "plain.jpg": (encode(image, "JPEG", quality=95), None, 1),
        "progressive.jpg": (encode(image, "JPEG", quality=90, progressive=True), None, 1),
        "subsampled.jpg": (encode(image, "JPEG", quality=90, subsampling=2), None, 3),
        "grey.jpg": (encode(grey, "JPEG", quality=95), None, 1),
        "lossless.webp": (encode(image, "WEBP", lossless=True), pixels, 0),
        "lossy.webp": (encode(image, "WEBP", quality=90), None, 2),
        "wrong-extension.png": (encode(image, "JPEG", quality=95), None, 1),
        "grey.png": (encode(grey, "PNG"), grey_pixels, 0),
        "one-bit.png": (encode(grey.convert("1"), "PNG"), None, 0),
        "palette.png": (encode(image.quantize(64), "PNG"), None, 0),
    }

    exif = PIL.Image.Exif()
    for orientation in range(1, 9):
        exif[ORIENTATION] = orientation
        name = f"orientation-{orientation}.jpg"
        pictures[name] = (encode(image, "JPEG", quality=95, exif=exif.tobytes()), None, 1)
    exif[ORIENTATION] = 6
    pictures["orientation-6.webp"] = (encode(image, "WEBP", lossless=True, exif=exif.tobytes()), None, 0)
    pictures["orientation-6.png"] = (encode(image, "PNG", exif=exif.tobytes()), None, 0)

    # Transparency: white shows through.
    alpha = np.linspace(0, 255, WIDTH).astype(np.uint8)[None].repeat(HEIGHT, 0)
    on_white = np.rint((pixels * (alpha[..., None] / 255.0)) + 255 * (1 - alpha[..., None] / 255.0)).astype(
        np.uint8
    )
    rgba = PIL.Image.fromarray(np.dstack([pixels, alpha]))
    pictures["alpha.png"] = (encode(rgba, "PNG"), on_white, 1)
    pictures["alpha.webp"] = (encode(rgba, "WEBP", lossless=True, exact=True), on_white, 1)
    grey_on_white = np.rint((grey_pixels * (alpha[..., None] / 255.0)) + 255 * (1 - alpha[..., None] / 255.0))
    grey_alpha = PIL.Image.merge("LA", (grey, PIL.Image.fromarray(alpha)))
    pictures["grey-alpha.png"] = (encode(grey_alpha, "PNG"), grey_on_white.astype(np.uint8), 1)
    indexed = image.quantize(16)
    clear = np.asarray(indexed) == 3
    transparent = np.where(clear[..., None], 255, np.asarray(indexed.convert("RGB")))
    pictures["palette-alpha.png"] = (encode(indexed, "PNG", transparency=3), transparent.astype(np.uint8), 0)

    # 16 bits: the upper byte is the picture, the lower one fine detail that 8 bits cannot show.
    deep = pixels.astype(np.uint16) * 256 + 100
    deep_alpha = np.dstack([deep, alpha.astype(np.uint16) * 257])
    deep_grey = np.asarray(grey).astype(np.uint16) * 256 + 100
    pictures["rgb-16-bit.png"] = (png(WIDTH, HEIGHT, 16, 2, deep.astype(">u2").tobytes()), pixels, 1)
    pictures["rgba-16-bit.png"] = (png(WIDTH, HEIGHT, 16, 6, deep_alpha.astype(">u2").tobytes()), on_white, 2)
    pictures["grey-16-bit.png"] = (
        png(WIDTH, HEIGHT, 16, 0, deep_grey.astype(">u2").tobytes()),
        grey_pixels,
        1,
    )

    # Several frames: the first counts.
    others = [PIL.Image.fromarray(255 - pixels), PIL.Image.fromarray(pixels[::-1].copy())]
    animation = {"save_all": True, "append_images": others, "duration": 100}
    pictures["animated.webp"] = (encode(image, "WEBP", lossless=True, **animation), pixels, 0)
    pictures["animated.png"] = (encode(image, "PNG", **animation), pixels, 0)
    return pictures


def print_pictures() -> dict[str, bytes]:
    """CMYK: how inks look depends on the profile, so the test asks for plain colours only."""
    blocks = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for i, inks in enumerate(
        [(0, 255, 255, 0), (255, 0, 255, 0), (255, 255, 0, 0), (0, 0, 0, 0), (0, 0, 0, 255), (0, 0, 255, 0)]
    ):
        blocks[:, i * 8 : i * 8 + 8] = inks
    return {"cmyk.jpg": encode(PIL.Image.fromarray(blocks, "CMYK"), "JPEG", quality=95)}


def bad_pictures() -> dict[str, bytes]:
    image = PIL.Image.fromarray(make_picture())
    jpeg = encode(image, "JPEG", quality=95)
    noisy = PIL.Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    noisy_png, noisy_webp = encode(noisy, "PNG"), encode(noisy, "WEBP", quality=90)
    flipped = bytearray(noisy_png)
    flipped[len(flipped) // 2] ^= 0x55

    def box(brand: bytes) -> bytes:
        return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"mif1" + bytes(64)

    return {
        "empty.jpg": b"",
        "truncated.jpg": jpeg[: len(jpeg) * 2 // 3],
        "truncated.png": noisy_png[: len(noisy_png) * 2 // 3],
        "truncated.webp": noisy_webp[: len(noisy_webp) * 2 // 3],
        "header-only.jpg": jpeg[:20],
        "header-only.png": noisy_png[:30],
        "bad-checksum.png": bytes(flipped),
        "one-pixel.png": encode(image.resize((1, 1)), "PNG"),
        "narrow.png": encode(image.resize((200, 7)), "PNG"),
        # 30,000 x 30,000 pixels in a few kilobytes
        "bomb.png": png(30_000, 30_000, 1, 0, bytes(30_000 // 8 * 30_000)),
        "animation.gif": encode(image, "GIF"),
        "scan.tiff": encode(image, "TIFF"),
        "bitmap.bmp": encode(image, "BMP"),
        "photo.avif": encode(image, "AVIF"),
        "photo.heic": box(b"heic"),
        "clip.mp4": box(b"isom"),
        "drawing.svg": b'<?xml version="1.0"?>\n'
        b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">'
        b'<image href="file:///etc/passwd"/></svg>\n',
        "svg-as.png": b'\xef\xbb\xbf  <svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>\n',
        "paper.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
        "page.jpg": b"<!DOCTYPE html><html><body>Not found</body></html>\n",
        "text.jpg": b"This is no picture.\n",
    }  # fmt: skip


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    expected = []
    for name, (data, pixels, tolerance) in good_pictures().items():
        (PICTURES / name).write_bytes(data)
        if pixels is None:
            pixels = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB"))
        entry = {"file": name, "width": pixels.shape[1], "height": pixels.shape[0], "tolerance": tolerance}
        expected.append({**entry, "pixels": base64.b64encode(pixels.tobytes()).decode()})
    for name, data in {**print_pictures(), **bad_pictures()}.items():
        (PICTURES / name).write_bytes(data)
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in expected)
    GOLDEN.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(expected)} pictures to compare, {len(list(PICTURES.iterdir()))} in all")


if __name__ == "__main__":
    main()
