"""Makes what LCMS shows of colours in other profiles than sRGB, through Pillow.

    python make_profiles.py

Writes tests/golden/numerics/profiles.json. LCMS is asked for its exact answer, too, where it
interpolates in a coarse grid by default: for saturated or dark colours of 16 bits, and for grey, that is
up to 25 of 255 off.
"""

import base64
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import ImageCms

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "numerics" / "profiles.json"

D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D65_POINT, D50_POINT, CINEMA_POINT = (0.3127, 0.329), (0.3457, 0.3585), (0.314, 0.351)
SRGB = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
REC_2020 = ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046))
PROPHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))
COLORMATCH = ((0.63, 0.34), (0.295, 0.605), (0.15, 0.075))
APPLE = ((0.625, 0.34), (0.28, 0.595), (0.155, 0.07))
SRGB_NUMBERS = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(*values)


def gamma(exponent: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256)) + b"\0\0"


LINEAR = b"curv\0\0\0\0\0\0\0\0"


def table(curve: Callable[[np.ndarray], np.ndarray], points: int = 256) -> bytes:
    values = np.rint(65535 * np.clip(curve(np.linspace(0, 1, points)), 0, 1)).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", points) + values.tobytes()


def para(kind: int, *numbers: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + fixed(*numbers)


def srgb_curve(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def dot_gain(value: np.ndarray) -> np.ndarray:
    ink = 1 - value
    return 1 - np.minimum(ink + 0.72 * ink * value, 1)


def profile(version: int, kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    localized = (
        b"mluc\0\0\0\0" + struct.pack(">IIHHII", 1, 12, 0x656E, 0x5553, 8, 28) + "test".encode("utf-16-be")
    )
    tags = {b"desc": localized if version == 4 else description, b"wtpt": xyz(D50), **tags}
    start, entries, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        entries += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"", version << 24, kind, space, pcs)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(*D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + body


def matrix_profile(
    version: int, white: tuple[float, float], primaries: tuple[tuple[float, float], ...], curve: bytes
) -> bytes:
    """Adapted from its white to D50, as eyes do."""

    def tristimulus(point: tuple[float, float]) -> np.ndarray:
        x, y = point
        return np.array([x / y, 1, (1 - x - y) / y])

    columns = np.stack([tristimulus(point) for point in primaries], axis=1)
    columns = columns * np.linalg.solve(columns, tristimulus(white))
    ratio = (BRADFORD @ D50) / (BRADFORD @ tristimulus(white))
    columns = np.linalg.inv(BRADFORD) @ np.diag(ratio) @ BRADFORD @ columns
    tags = {}
    for n, colour in enumerate((b"r", b"g", b"b")):
        tags[colour + b"XYZ"] = xyz(tuple(columns[:, n]))
        tags[colour + b"TRC"] = curve
    return profile(version, b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(version: int, curve: bytes) -> bytes:
    return profile(version, b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def lab_table(channels: int, points: int) -> bytes:
    """A pale device, as 16-bit tables from its colours, or inks, to Lab.

    LCMS shows the same of it for 8 and 16 bits.
    """
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, points)] * channels, indexing="ij"), axis=-1)
    rgb = grid if channels == 3 else (1 - 0.9 * grid[..., :3]) * (1 - 0.9 * grid[..., 3:])
    red, green, blue = np.moveaxis(rgb, -1, 0)
    lightness = 25 + 60 * (0.25 * red + 0.65 * green + 0.1 * blue)
    a, b = 16 * (red - green), 16 * (0.5 * red + 0.5 * green - blue)
    lab = np.stack([lightness / 100 * 65280, (a + 128) * 256, (b + 128) * 256], axis=-1)
    head = b"mft2\0\0\0\0" + bytes([channels, 3, points, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    straight = struct.pack(">HH", 0, 65535)
    return (
        head
        + struct.pack(">HH", 2, 2)
        + straight * channels
        + np.rint(lab).astype(">u2").tobytes()
        + straight * 3
    )


def profiles() -> dict[str, bytes]:
    found = {}
    for version in (2, 4):

        def add(name: str, *arguments: object, version: int = version) -> None:
            found[f"{name}, version {version}"] = matrix_profile(version, *arguments)  # type: ignore[arg-type]

        add("ProPhoto", D50_POINT, PROPHOTO, gamma(1.8))
        add("Adobe RGB", D65_POINT, ADOBE, gamma(2.19921875))
        add("Display P3, a table", D65_POINT, P3, table(srgb_curve, 1024))
        add("Rec. 2020", D65_POINT, REC_2020, gamma(2.4))
        add("linear sRGB", D65_POINT, SRGB, LINEAR)
        add("linear Rec. 2020", D65_POINT, REC_2020, table(lambda value: value, 2))
        add("ColorMatch", D50_POINT, COLORMATCH, gamma(1.8))
        add("Apple", D65_POINT, APPLE, gamma(1.8))
        add("DCI-P3", CINEMA_POINT, P3, gamma(2.6))
        for name, curve in {
            "gamma 2.2": gamma(2.2),
            "linear": LINEAR,
            "dot gain": table(dot_gain),
        }.items():
            found[f"grey, {name}, version {version}"] = grey_profile(version, curve)
        lut = {b"A2B0": lab_table(3, 9)}
        found[f"RGB table, version {version}"] = profile(version, b"scnr", b"RGB ", b"Lab ", lut)
        inks = {b"A2B0": lab_table(4, 7)}
        found[f"inks, version {version}"] = profile(version, b"prtr", b"CMYK", b"Lab ", inks)
    found["a power"] = matrix_profile(4, D65_POINT, ADOBE, para(0, 2.2))
    found["a power from a corner on"] = matrix_profile(4, D65_POINT, ADOBE, para(1, 2.2, 1.1, -0.1))
    found["a raised power from a corner on"] = matrix_profile(
        4, D65_POINT, ADOBE, para(2, 2.2, 0.9, 0.05, 0.02)
    )
    found["a power and a line"] = matrix_profile(4, D65_POINT, P3, para(3, *SRGB_NUMBERS))
    raised = para(4, *SRGB_NUMBERS, 0.01, 0.01)
    found["a raised power and a line"] = matrix_profile(4, D65_POINT, ADOBE, raised)
    return found


def samples(channels: int) -> np.ndarray:
    """Edges and corners of the cube of colours, and colours between them, many of them dark."""
    if channels == 1:
        return np.arange(256, dtype=np.uint8)[:, None]
    few = np.stack(np.meshgrid(*[[0, 128, 255]] * channels, indexing="ij"), axis=-1).reshape(-1, channels)
    many = 255 * np.random.default_rng(7).random((256 - len(few), channels)) ** 2
    many[::4, 0] = 0
    many[1::4, 2] = 0
    return np.concatenate([few, many]).astype(np.uint8)


MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}


def shown(icc: bytes, colours: np.ndarray, flags: ImageCms.Flags) -> str:
    mode = MODES[icc[16:20]]
    image = PIL.Image.frombytes(mode, (16, 16), colours.tobytes())
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    intent = ImageCms.Intent.PERCEPTUAL
    srgb = ImageCms.createProfile("sRGB")
    seen = ImageCms.profileToProfile(image, source, srgb, intent, outputMode="RGB", flags=flags)
    if seen is None:
        raise ValueError("converted in place")
    return base64.b64encode(seen.tobytes()).decode()


def main() -> None:
    lines = []
    for name, icc in profiles().items():
        colours = samples({"L": 1, "RGB": 3, "CMYK": 4}[MODES[icc[16:20]]])
        entry = {
            "name": name,
            "profile": base64.b64encode(icc).decode(),
            "samples": base64.b64encode(colours.tobytes()).decode(),
            "shown": shown(icc, colours, ImageCms.Flags.NONE),
        }
        if b"A2B0" not in icc:
            entry["exact"] = shown(icc, colours, ImageCms.Flags.NOOPTIMIZE)
        lines.append(json.dumps(entry, separators=(",", ":")))
    GOLDEN.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    print(f"{len(lines)} profiles")


if __name__ == "__main__":
    main()
