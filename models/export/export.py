"""Exports a diffusers checkpoint of I2VGen-XL or Stable Video Diffusion into a Kinora model pack.

    python export.py CHECKPOINT OUT [--flavour plain|cuda] [--lora FILE[:SCALE]] [--deepcache] [--id ID]
                     [--title TITLE] [--licence TEXT] [--source TEXT] [--variant fp16] [--unet FILE]
                     [--tensorrt-context WxHxF]

CHECKPOINT is a folder or the id of a repository on the Hugging Face hub; its model_index.json says of which
family it is. A `plain` pack holds float32 ONNX graphs (opset 17 and com.microsoft.MultiHeadAttention) that
run on every execution provider. A `cuda` pack holds FP16 graphs made of ONNX Runtime's fused CUDA operators,
with float32 inputs and outputs; the export prints how many of each it got, and refuses to go on when the
model's modules let one expect more (--allow-unfused goes on and says so).

Each graph is run in ONNX Runtime at two different sizes, frame counts and batches and compared with PyTorch
before the manifest is written: on the GPU where there is one, otherwise on the CPU, for which the fusions are
undone (lower.py). Above 1e-4 (FP16: 1e-2 relative) the export fails.

Checkpoint, memory and disk are looked at first. The pack is written to OUT/.part and moved up when it is
whole, so an export that fails leaves nothing; what a kill leaves, the next try removes.
"""

import argparse
import errno
import fcntl
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import torch
    from diffusers import DiffusionPipeline
except ModuleNotFoundError as error:
    raise SystemExit(
        f"{error.name} is not installed: pip install -r models/export/requirements.txt"
    ) from None

import checkpoint as looks
import i2vgen_xl
import svd
from family import Family
from manifest import write_json, write_manifest
from options import Options
from progress import step
from tensorrt_context import Size, compile_pack, limits_within, require_tensorrt

FAMILIES = (i2vgen_xl.FAMILY, svd.FAMILY)
# What the command line can say of a pack.
CARD = ("id", "title", "licence", "source")


def export_pack(
    checkpoint: str, out: Path, card: dict, variant: str | None = None, options: Options | None = None
) -> None:
    """Writes the whole pack to `out`, which must be empty or absent. `card` replaces what the family says of
    itself in the manifest. Raises SystemExit when the checkpoint cannot be used, when there is no room for
    it, and when a graph is not equal.
    """
    options = options or Options()
    with step(f"{checkpoint}: looking at it"):
        found = looks.find(checkpoint)
        family = family_of(found)
        looks.check_files(found, family.files(), family.title)
        family.check(found, options)
        looks.check_room(found, family.parts, out, variant, options.is_half)
        card = {**family.card(checkpoint, options), **card}
    if options.tensorrt_sizes:
        limits_within(card["limits"], options.tensorrt_sizes)
    with new_folder(out) as folder:
        torch.manual_seed(0)
        write_json(folder / "model_index.json", dict(DiffusionPipeline.load_config(checkpoint)))
        looks.copy_licences(found, folder)
        architecture = family.write(checkpoint, folder, variant, options)
        requires = {"device": "cuda"} if options.is_cuda else None
        with step("kinora.json: hashing all files"):
            write_manifest(
                folder, flavour=options.flavour, architecture=architecture, card=card, requires=requires
            )
    if options.tensorrt_sizes:
        add_engines(out, card, architecture, options.tensorrt_sizes)
    total = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    print(f"{out}: {total / 1e6:.1f} MB")


def family_of(found: looks.Checkpoint) -> Family:
    looks.check_files(found, ("model_index.json",), "a known model")
    pipeline = dict(DiffusionPipeline.load_config(found.name)).get("_class_name")
    for family in FAMILIES:
        if family.pipeline == pipeline:
            return family
    known = " or ".join(f"{family.pipeline} ({family.title})" for family in FAMILIES)
    raise SystemExit(f"{found.name} holds a {pipeline}; Kinora knows {known}")


def add_engines(pack: Path, card: dict, architecture: dict, sizes: list[Size]) -> None:
    """Compiles a plain pack for TensorRT. One that cannot be compiled stays as it is."""
    try:
        requires = compile_pack(pack, sizes, architecture["vaeScaleFactor"])
    except SystemExit as error:
        raise SystemExit(f"{error}; {pack} is a whole pack without engines") from None
    card = {**card, "limits": limits_within(card["limits"], sizes)}
    write_manifest(pack, flavour="plain", architecture=architecture, card=card, requires=requires)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder whose contents are moved to `out` at the end, or removed. It lies in `out`, which may be a
    disk of its own. Removes what an export that was killed left there.
    """
    part = out / ".part"
    if out.exists() and any(path != part for path in out.iterdir()):
        is_pack = (out / "kinora.json").exists()
        raise SystemExit(
            f"{out} is not empty" + ("" if is_pack else ", and what is in it is no pack: delete it")
        )
    is_new = not out.exists() or part.exists()
    part.mkdir(parents=True, exist_ok=True)
    with (part / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another export is writing {out}") from None
        try:
            shutil.rmtree(part / "pack", ignore_errors=True)
            (part / "pack").mkdir()
            yield part / "pack"
            # The manifest last: until then this is no pack.
            for path in sorted((part / "pack").iterdir(), key=lambda path: path.name == "kinora.json"):
                path.rename(out / path.name)
            is_new = False
        finally:
            shutil.rmtree(part)
            if is_new:
                out.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "checkpoint", help="folder in diffusers format, or a repository id on the Hugging Face hub"
    )
    parser.add_argument("out", type=Path, help="folder of the new pack")
    for key in CARD:
        parser.add_argument(f"--{key}", help="in the manifest, instead of what the family says")
    parser.add_argument(
        "--variant", help='weights file variant, for example "fp16"; a plain pack is float32 all the same'
    )
    parser.add_argument("--flavour", choices=("plain", "cuda"), default="plain")
    parser.add_argument(
        "--lora", action="append", default=[], metavar="FILE[:SCALE]", help="may be given several times"
    )
    parser.add_argument(
        "--unet", type=Path, metavar="FILE", help="weights of AnimateLCM-SVD instead of the checkpoint's UNet"
    )
    parser.add_argument(
        "--deepcache", action="store_true", help="write a second core that reuses deep features"
    )
    parser.add_argument(
        "--allow-unfused", action="store_true", help="write a cuda pack that lost fusions all the same"
    )
    parser.add_argument(
        "--tensorrt-context",
        action="append",
        default=[],
        metavar="WxHxF",
        help="experimental, has not been run: compile with TensorRT for this size (plain)",
    )
    parser.add_argument("--traceback", action="store_true", help="show where in the code a failure happened")
    args = parser.parse_args()
    sizes = [Size.parse(text) for text in args.tensorrt_context]
    if sizes:
        if args.flavour != "plain":
            parser.error("--tensorrt-context needs --flavour plain")
        require_tensorrt()
        if args.deepcache:
            parser.error("--tensorrt-context and --deepcache exclude each other")
    card = {key: getattr(args, key) for key in CARD if getattr(args, key) is not None}
    options = Options(
        flavour=args.flavour,
        loras=args.lora,
        deepcache=args.deepcache,
        unet_file=args.unet,
        allow_unfused=args.allow_unfused,
        tensorrt_sizes=sizes,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("the export was ended; nothing of it is left"))
    try:
        export_pack(args.checkpoint, args.out, card, args.variant, options)
    except KeyboardInterrupt:
        raise SystemExit("the export was ended; nothing of it is left") from None
    except Exception as error:
        if args.traceback:
            raise
        raise SystemExit(sentence_of(error)) from None


def sentence_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; nothing of the export is left"
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return (
            "the memory is full: close other programs, or export on a larger machine (a pack can be copied)"
        )
    where = next(iter(getattr(error, "__notes__", [])), "export")
    return f"{where}: {looks.first_line(error)} (--traceback tells more)"


if __name__ == "__main__":
    main()
