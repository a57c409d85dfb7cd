"""Measures the pack with onnxruntime alone: `python evaluate.py quality|prompts|speed|sheet`.

quality  PSNR against the analytic warp per motion, on the photographs that training has not seen
prompts  motions and speeds read from a file of [{prompt, motions: [{kind, speed}]}]
speed    seconds per graph and peak memory with two threads
sheet    frames of several motions as one PNG
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
from PIL import Image

import free_photos
import runner

PHRASES = {
    "zoom-in": "zoom in",
    "zoom-out": "zoom out",
    "pan-left": "pan left",
    "pan-right": "pan right",
    "tilt-up": "tilt up",
    "tilt-down": "tilt down",
    "rotate-cw": "rotate clockwise",
    "rotate-ccw": "rotate counterclockwise",
    "static": "static shot",
    "waves": "waves rolling",
    "sway": "swaying in the wind",
}
ADVERBS = {"slow": "slowly", "normal": "", "fast": "very fast"}


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB between frames (H, W, 3) in 0 to 1."""
    return -10 * np.log10(np.mean((a - b) ** 2))


def quality(options: argparse.Namespace) -> None:
    model = runner.Runner(options.pack)
    spec = json.loads((Path(options.pack) / "motion.json").read_text())
    for width, height in options.sizes:
        table: dict[str, list[float]] = {}
        first = []
        for kind, phrase in PHRASES.items():
            for speed in options.speeds:
                for name in free_photos.HELD_OUT:
                    picture = runner.cover(options.photos / name, width, height)
                    prompt = f"{phrase} {ADVERBS[speed]}".strip() if kind != "static" else phrase
                    clip = model.generate(
                        picture, prompt, options.frames, options.steps, options.fps, options.guidance
                    )
                    truth = picture.astype(np.float64) / 127.5 - 1
                    for k in (0, options.frames // 2, options.frames - 1):
                        expected = runner.analytic_frame(
                            truth, {kind: speed}, options.fps, k / (options.frames - 1), spec
                        )
                        score = psnr(clip[k], (expected / 2 + 0.5).clip(0, 1))
                        table.setdefault(kind, []).append(score)
                        if k == 0:
                            first.append(score)
        print(
            f"{width}x{height}, {options.frames} frames, {options.steps} steps, guidance {options.guidance}: "
            f"first frame {np.mean(first):.2f} (least {min(first):.2f}); "
            + " ".join(f"{k} {np.mean(v):.2f}" for k, v in table.items())
            + f"; least of all frames {min(min(v) for v in table.values()):.2f}",
            flush=True,
        )


def without_static(motions: dict[str, float]) -> dict[str, float]:
    """A still camera beside something that moves is that motion."""
    return {kind: level for kind, level in motions.items() if kind != "static"} or {"static": 1}


def prompts(options: argparse.Namespace) -> None:
    model = runner.Runner(options.pack)
    spec = json.loads((Path(options.pack) / "motion.json").read_text())
    cases = json.loads(Path(options.file).read_text())
    right = 0
    start = time.time()
    for case, read in zip(cases, model.motions([c["prompt"] for c in cases]), strict=True):
        wanted = {m["kind"]: spec["levels"][m["speed"]] for m in case["motions"]}
        if not wanted:
            wanted = {spec["default"]["kind"]: spec["levels"][spec["default"]["speed"]]}
        ok = without_static(wanted) == without_static(read)
        right += ok
        if not ok:
            print(f"  {case['prompt']!r}: wanted {wanted}, read {read}")
    print(f"{right} of {len(cases)} = {100 * right / len(cases):.1f} % in {time.time() - start:.1f} s")


def speed(options: argparse.Namespace) -> None:
    model = runner.Runner(options.pack)
    print(f"load {model.load_seconds:.2f} s")
    for width, height in options.sizes:
        picture = runner.cover(options.photos / "coffee.png", width, height)
        start = time.time()
        model.generate(
            picture,
            "pan left with waves and trees swaying",
            options.frames,
            options.steps,
            guidance=options.guidance,
        )
        total = time.time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{width}x{height}, {options.frames} frames, {options.steps} steps: {total:.2f} s; "
            + " ".join(f"{k} {v:.2f}" for k, v in model.seconds.items())
            + f"; peak RSS so far {peak:.0f} MB",
            flush=True,
        )


def sheet(options: argparse.Namespace) -> None:
    model = runner.Runner(options.pack)
    width, height = options.sizes[0]
    rows = []
    for prompt in options.prompts:
        for name in options.names:
            picture = runner.cover(options.photos / name, width, height)
            clip = model.generate(
                picture, prompt, options.frames, options.steps, options.fps, options.guidance
            )
            shown = np.linspace(0, options.frames - 1, options.columns).round().astype(int)
            rows.append(np.concatenate([clip[k] for k in shown], 1))
    Image.fromarray((np.concatenate(rows) * 255).round().astype(np.uint8)).save(options.out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["quality", "prompts", "speed", "sheet"])
    parser.add_argument("--pack", default=runner.PACK, type=Path)
    parser.add_argument("--photos", default=None, type=Path)
    parser.add_argument("--file", help="prompts")
    parser.add_argument(
        "--sizes", default="256x256", type=lambda s: [tuple(map(int, x.split("x"))) for x in s.split(",")]
    )
    parser.add_argument("--speeds", default="normal", type=lambda s: s.split(","))
    parser.add_argument("--frames", default=16, type=int)
    parser.add_argument("--steps", default=5, type=int)
    parser.add_argument("--fps", default=16, type=int)
    parser.add_argument("--guidance", default=1.0, type=float)
    parser.add_argument("--prompts", default=["zoom out", "pan left"], type=lambda s: s.split(";"))
    parser.add_argument("--names", default=free_photos.HELD_OUT, type=lambda s: s.split(","))
    parser.add_argument("--columns", default=5, type=int)
    parser.add_argument("--out", default="sheet.png")
    options = parser.parse_args()
    if options.photos is None and options.what != "prompts":
        options.photos = free_photos.folder()
    {"quality": quality, "prompts": prompts, "speed": speed, "sheet": sheet}[options.what](options)


if __name__ == "__main__":
    main()
