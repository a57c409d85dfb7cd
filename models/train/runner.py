"""Runs the pack with onnxruntime alone, as the pipeline of src/inference does: no torch, no training code.

Also the analytic truth of MOTION.md in numpy, written apart from motion.py so that the two check each other.
"""

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from PIL import Image
from tokenizers import Tokenizer

PACK = Path(__file__).resolve().parent.parent / "builtin"
GRAPHS = ["text_encoder", "image_encoder", "vae_encoder", "unet_cond", "unet_core", "vae_decoder"]


def alphas() -> np.ndarray:
    u = np.arange(1001) / 1000
    f = np.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = np.minimum(1 - f[1:] / f[:-1], 0.999).astype(np.float32).astype(np.float64)
    r = np.sqrt(np.cumprod(1 - betas))
    r = (r - r[-1]) * r[0] / (r[0] - r[-1])
    return r * r


class Runner:
    def __init__(self, pack: Path = PACK, threads: int = 2) -> None:
        self.pack = Path(pack)
        self.manifest = json.loads((self.pack / "kinora.json").read_text())
        self.alphas = alphas()
        # Of the latest clip, by graph.
        self.seconds: dict[str, float] = {}
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        start = time.time()
        self.sessions = {
            g: ort.InferenceSession(
                str(self.pack / g / "model.onnx"), options, providers=["CPUExecutionProvider"]
            )
            for g in GRAPHS
        }
        self.load_seconds = time.time() - start
        self.tokenizer = Tokenizer.from_file(str(self.pack / "tokenizer" / "tokenizer.json"))
        self.end = self.tokenizer.token_to_id("<|endoftext|>")
        self.max_tokens = self.manifest["architecture"]["maxTokens"]

    def run(self, graph: str, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        start = time.time()
        out = self.sessions[graph].run(None, feed)
        self.seconds[graph] = self.seconds.get(graph, 0) + time.time() - start
        return out

    def ids(self, text: str) -> np.ndarray:
        ids = self.tokenizer.encode(text).ids
        if len(ids) > self.max_tokens:
            ids = ids[: self.max_tokens - 1] + [self.end]
        return np.array([ids + [self.end] * (self.max_tokens - len(ids))], dtype=np.int64)

    def motions(self, prompts: Iterable[str]) -> list[dict[str, float]]:
        """What unet_cond makes of each prompt: [{kind: level}]. A picture of 8×8 zero latents goes along."""
        self.seconds = {}
        spec = json.loads((self.pack / "motion.json").read_text())
        c, d = self.manifest["architecture"]["latentChannels"], 128
        read = []
        for prompt in prompts:
            words = self.run("text_encoder", {"input_ids": self.ids(prompt)})[0]
            context = self.run(
                "unet_cond",
                {
                    "fps": np.array([16]),
                    "image_latents": np.zeros((1, c, 1, 8, 8), np.float32),
                    "image_embeddings": np.zeros((1, 1, d), np.float32),
                    "encoder_hidden_states": words,
                },
            )[1]
            row = context[0, spec["readout"]["row"]]
            read.append({k: round(float(row[i]), 3) for i, k in enumerate(spec["kinds"]) if row[i] > 0})
        return read

    @staticmethod
    def step_factors(a: float, b: float) -> tuple[float, float]:
        """DDIM's step from alphas_cumprod a to b as a sum: next sample = first · sample + second · v."""
        # x0 = sqrt(a) x - sqrt(1 - a) v, noise = sqrt(a) v + sqrt(1 - a) x, next = sqrt(b) x0 + sqrt(1 - b)
        # noise.
        return math.sqrt(a * b) + math.sqrt((1 - a) * (1 - b)), math.sqrt(a * (1 - b)) - math.sqrt(
            (1 - a) * b
        )

    def generate(
        self,
        picture: np.ndarray,
        prompt: str,
        frames: int = 16,
        steps: int = 5,
        fps: int = 16,
        guidance: float = 1.0,
        negative: str = "",
        seed: int = 0,
        chunk: int = 2,
    ) -> np.ndarray:
        """picture (H, W, 3) uint8 at the working size → frames (F, H, W, 3) float, 0 … 1."""
        self.seconds = {}
        architecture = self.manifest["architecture"]
        height, width = picture.shape[:2]
        side, square = architecture["imageEncoderSize"], min(height, width)
        top, left = (height - square) // 2, (width - square) // 2
        small = Image.fromarray(picture[top : top + square, left : left + square]).resize(
            (side, side), Image.BILINEAR
        )
        pixels = (np.asarray(small, np.float32) / 255 - 0.5) / 0.5
        embeds = self.run("image_encoder", {"pixel_values": pixels.transpose(2, 0, 1)[None]})[0]
        words = self.run("text_encoder", {"input_ids": self.ids(prompt)})[0]
        sample = picture.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
        moments = self.run("vae_encoder", {"sample": sample})[0]
        rng = np.random.default_rng(seed)
        mean, logvar = np.split(moments, 2, 1)
        z = (mean + np.exp(0.5 * logvar.clip(-30, 20)) * rng.standard_normal(mean.shape)) * architecture[
            "vaeScalingFactor"
        ]
        image_latents = np.repeat(z[:, :, None], frames, 2).astype(np.float32)
        for k in range(1, frames):
            image_latents[:, :, k] = k / (frames - 1)
        embeds = embeds[:, None]
        if guidance > 1:
            unwanted = self.run("text_encoder", {"input_ids": self.ids(negative)})[0]
            words, embeds = np.concatenate([unwanted, words]), np.concatenate([np.zeros_like(embeds), embeds])
        fps_emb, context, encoded = self.run(
            "unet_cond",
            {
                "fps": np.array([fps]),
                "image_latents": image_latents,
                "image_embeddings": embeds,
                "encoder_hidden_states": words,
            },
        )
        self.context = context
        x = rng.standard_normal(image_latents.shape).astype(np.float32)
        weights = np.array([1 - guidance, guidance] if guidance > 1 else [1.0])
        for i in range(steps):
            t = round(1000 - i * 1000 / steps) - 1
            before = t - 1000 // steps
            of_x, of_v = self.step_factors(self.alphas[t], self.alphas[before] if before >= 0 else 1.0)
            factors = np.concatenate([[of_x], of_v * weights]).astype(np.float32)
            x = self.run(
                "unet_core",
                {
                    "sample": x,
                    "timestep": np.array([t]),
                    "fps_emb": fps_emb,
                    "context": context,
                    "image_latents_enc": encoded,
                    "factors": factors,
                },
            )[0]
        latents = (x[0] / architecture["vaeScalingFactor"]).transpose(1, 0, 2, 3).astype(np.float32)
        decoded = [
            self.run("vae_decoder", {"latent": np.ascontiguousarray(latents[k : k + chunk])})[0]
            for k in range(0, frames, chunk)
        ]
        return (np.concatenate(decoded).transpose(0, 2, 3, 1) / 2 + 0.5).clip(0, 1)


# ---------------------------------------------------------------- MOTION.md in numpy
def smooth(a: float, b: float, t: np.ndarray) -> np.ndarray:
    t = ((t - a) / (b - a)).clip(0, 1)
    return t * t * (3 - 2 * t)


def sin_of_turns(turns: np.ndarray) -> np.ndarray:
    return np.sin(2 * math.pi * turns)


def cos_of_turns(turns: np.ndarray) -> np.ndarray:
    return np.cos(2 * math.pi * turns)


def analytic_frame(
    picture: np.ndarray, motions: dict[str, str], fps: int, p: float, spec: dict
) -> np.ndarray:
    """picture (H, W, 3) in -1 … 1, motions {kind: speed}, position p → frame (H, W, 3)."""
    height, width = picture.shape[:2]
    s = min(height, width)
    ax, ay = width / s, height / s
    gain = 2 ** ((16 - min(max(fps, 4), 32)) / 16)
    level = {k: spec["levels"][motions[k]] if k in motions else 0 for k in spec["kinds"]}
    if not motions:
        level[spec["default"]["kind"]] = spec["levels"][spec["default"]["speed"]]
    full = {k: v["full"] for k, v in spec["amplitudes"].items()}

    def ease(x: np.ndarray) -> np.ndarray:
        return 0.5 * x + 0.5 * (3 * x**2 - 2 * x**3)

    def pair(a: str, b: str, x: np.ndarray) -> np.ndarray:
        both = 1 if level[a] and level[b] else 0
        return gain * (
            level[a] * ease(np.clip(x * (1 + both), 0, 1))
            - level[b] * ease(np.clip(x * (1 + both) - both, 0, 1))
        )

    def paths(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return (
            full["zoom"] * pair("zoom-in", "zoom-out", x),
            -2 * ax * full["pan"] * pair("pan-left", "pan-right", x),
            -2 * ay * full["tilt"] * pair("tilt-up", "tilt-down", x),
            math.radians(full["rotate"]) * pair("rotate-cw", "rotate-ccw", x),
        )

    grid = np.linspace(0, 1, spec["overscanSamples"])
    zoom, x, y, angle = paths(grid)
    q = (level["zoom-in"] > 0) - (level["zoom-out"] > 0)

    def offset(path: np.ndarray) -> float:
        return {0: (path.min() + path.max()) / 2, 1: path[0], -1: path[-1]}[int(q)]

    x0, y0 = offset(x), offset(y)
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    need = np.maximum(
        (ax * cos + ay * sin) / (ax - abs(x - x0)), (ax * sin + ay * cos) / (ay - abs(y - y0))
    ) / np.exp(zoom)
    zoom, x, y, angle = paths(np.float64(p))
    m = max(1, need.max()) * np.exp(zoom)
    X = ((2 * np.arange(width) + 1 - width) / s)[None, :]
    Y = ((2 * np.arange(height) + 1 - height) / s)[:, None]
    u = (np.cos(angle) * X + np.sin(angle) * Y) / m + x - x0
    v = (-np.sin(angle) * X + np.cos(angle) * Y) / m + y - y0
    du, dv = np.zeros_like(u), np.zeros_like(u)
    xn, yn = u / ax, v / ay
    if "waves" in motions:
        a = gain * spec["amplitudes"]["waves"]["byLevel"][motions["waves"]]
        c1, c2 = spec["cycles"]["waves"][motions["waves"]]
        g = smooth(-0.25, 0.45, yn)
        f1, f2 = 0.9 * u + 1.6 * v - c1 * p, -1.7 * u + 2.9 * v - c2 * p + 0.25
        du += a * g * (1 - xn**4) * 0.5 * (cos_of_turns(f1) + 0.35 * cos_of_turns(f2))
        dv += a * g * (1 - yn**6) * (sin_of_turns(f1) + 0.35 * sin_of_turns(f2))
    if "sway" in motions:
        a = gain * spec["amplitudes"]["sway"]["byLevel"][motions["sway"]]
        c1, c2 = spec["cycles"]["sway"][motions["sway"]]
        b = np.maximum((1 - yn) / 2, 0) ** 1.5
        f1, f2 = c1 * p - 0.3 * u, c2 * p - 1.1 * u + 0.8 * v + 0.2
        du += a * b * (1 - xn**4) * (sin_of_turns(f1) + 0.3 * sin_of_turns(f2))
        dv += a * b * (1 - yn**4) * 0.25 * sin_of_turns(c2 * p + 0.9 * u + 0.25)
    return cubic(picture, ((u + du) * s + width - 1) / 2, ((v + dv) * s + height - 1) / 2)


def cubic(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Separable cubic convolution with a = -0.75, indices clamped to the border."""
    height, width = picture.shape[:2]

    def weights(t: np.ndarray) -> list[np.ndarray]:
        a = -0.75

        def near(d: np.ndarray) -> np.ndarray:
            return ((a + 2) * d - (a + 3)) * d * d + 1

        def far(d: np.ndarray) -> np.ndarray:
            return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

        return [far(t + 1), near(t), near(1 - t), far(2 - t)]

    ix, iy = np.floor(x).astype(int), np.floor(y).astype(int)
    wx, wy = weights(x - ix), weights(y - iy)
    out = 0
    for j in range(4):
        row = (iy + j - 1).clip(0, height - 1)
        line = 0
        for i in range(4):
            line = line + wx[i][..., None] * picture[row, (ix + i - 1).clip(0, width - 1)]
        out = out + wy[j][..., None] * line
    return out


def cover(path: Path, width: int, height: int) -> np.ndarray:
    """A photograph at the working size: (height, width, 3) uint8."""
    image = Image.open(path).convert("RGB")
    scale = max(width / image.width, height / image.height)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    image = image.resize(size, Image.LANCZOS)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return np.asarray(image.crop((left, top, left + width, top + height)))
