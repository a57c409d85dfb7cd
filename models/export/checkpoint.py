"""Looks at a checkpoint before it is exported: whether Kinora can use it, and whether there is room for it.

What would fail after minutes is refused here in one sentence, by SystemExit.
"""

import json
import math
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

# A float32 UNet of 5.7 GB took 12 GB at most while it was exported and compared.
MEMORY_FACTOR = 2.2
MEMORY_BASE = 10**9
# Graphs without weights, tokenizer, and the space that a file system keeps for itself.
DISK_FACTOR = 1.1

WEIGHT_FILE = re.compile(
    r"[a-z_]+(?:\.(?P<variant>[A-Za-z]\w*))?(?:-\d+-of-\d+)?(?:\.(?P<last>[A-Za-z]\w*))?\.(safetensors|bin)"
)


@dataclass
class Checkpoint:
    """Its name as it was given, the bytes of each of its files, and its folder unless it is on the hub."""

    name: str
    files: dict[PurePosixPath, int]
    folder: Path | None = None

    def weight_files(self, part: str, variant: str | None) -> list[PurePosixPath]:
        """Those of a part and variant, safetensors before others. Raises SystemExit if there are none."""
        found: dict[str | None, list[PurePosixPath]] = {}
        for suffix in (".safetensors", ".bin"):
            for path in self.files:
                match = WEIGHT_FILE.fullmatch(path.name)
                if match and str(path.parent) == part and path.suffix == suffix:
                    found.setdefault(match["variant"] or match["last"], []).append(path)
            if variant in found:
                return found[variant]
        if not found:
            raise SystemExit(f"{self.name} has no weights in {part}/ (.safetensors or .bin)")
        if None in found:
            raise SystemExit(f"{self.name} has no {variant} weights in {part}/: leave --variant away")
        other = min(filter(None, found))
        raise SystemExit(f"{self.name} has only {other} weights in {part}/: add --variant {other}")

    def count_weights(self, part: str, variant: str | None) -> int:
        return sum(self.count(path, variant) for path in self.weight_files(part, variant))

    def count(self, path: PurePosixPath, variant: str | None) -> int:
        if self.folder is not None and path.suffix == ".safetensors":
            try:
                with (self.folder / path).open("rb") as file:
                    header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
                return sum(
                    math.prod(value["shape"]) for key, value in header.items() if key != "__metadata__"
                )
            except (OSError, ValueError, KeyError, TypeError, OverflowError):
                pass  # the library that reads it will say what is wrong
        return self.files[path] // (2 if variant in ("fp16", "bf16") else 4)


def find(name: str) -> Checkpoint:
    """The files of a folder, or of a repository on the hub, without downloading them."""
    folder = Path(name)
    if not folder.is_dir():
        if folder.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise SystemExit(
                f"{name} is neither a folder nor the id of a repository such as ali-vilab/i2vgen-xl"
            )
        try:
            api = huggingface_hub.HfApi()
            info = api.model_info(name, files_metadata=True)
            if getattr(info, "gated", False):  # its files are listed to everybody
                api.auth_check(name)
            sizes = {PurePosixPath(file.rfilename): file.size or 0 for file in info.siblings or []}
            return Checkpoint(name, sizes)
        except Exception as error:  # of many classes; what was downloaded before may do
            try:
                folder = Path(huggingface_hub.snapshot_download(name, local_files_only=True))
            except Exception:
                if is_refused(error):
                    raise SystemExit(
                        f"the hub does not give {name} to everybody: accept the licence on the model's page "
                        "and log in (HF_TOKEN), or name a folder"
                    ) from None
                raise SystemExit(
                    f"{name} is no folder here, and the hub does not give it: {first_line(error)}"
                ) from None
    paths = (path for path in folder.rglob("*") if path.is_file())
    sizes = {PurePosixPath(path.relative_to(folder).as_posix()): path.stat().st_size for path in paths}
    return Checkpoint(name, sizes, folder)


def is_refused(error: BaseException) -> bool:
    response = getattr(error, "response", None)
    return isinstance(error, HfHubHTTPError) and response is not None and response.status_code in (401, 403)


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def check_files(checkpoint: Checkpoint, files: tuple[str, ...], title: str) -> None:
    """`title` is the name of the model whose checkpoints have these files."""
    names = {str(path) for path in checkpoint.files}
    for name in files:
        if name not in names:
            raise SystemExit(f"{checkpoint.name} is no checkpoint of {title}: it has no {name}")


def check_scheduler(name: str, config: dict[str, Any], values: dict[str, tuple[object, ...]]) -> None:
    for field, known in values.items():
        value = config.get(field)
        if value is not None and value not in known:
            choice = f"only {', '.join(map(str, known))}" if known else "none"
            raise SystemExit(
                f"{name}: the scheduler has {field} = {json.dumps(value)}; Kinora knows {choice}"
            )


def check_room(
    checkpoint: Checkpoint, parts: tuple[str, ...], out: Path, variant: str | None, is_half: bool
) -> None:
    """Compares what the export will take with the free memory and the free disk."""
    weights = {part: checkpoint.count_weights(part, variant) for part in parts}
    memory = int(MEMORY_FACTOR * 4 * max(weights.values())) + MEMORY_BASE
    free = available_memory()
    if free is not None and free < memory:
        raise SystemExit(
            f"the export takes about {gigabytes(memory)} of memory, and {gigabytes(free)} are free: "
            "close other programs, or export on a larger machine (a pack can be copied)"
        )
    needs = [(out, int(DISK_FACTOR * (2 if is_half else 4) * sum(weights.values())))]
    if checkpoint.folder is None:
        files = (path for part in parts for path in checkpoint.weight_files(part, variant))
        needs.append((Path(constants.HF_HUB_CACHE), sum(checkpoint.files[path] for path in files)))
    places = [
        next(place for place in [path.absolute(), *path.absolute().parents] if place.exists())
        for path, _ in needs
    ]
    for path, place in zip((path for path, _ in needs), places, strict=True):
        together = zip(needs, places, strict=True)
        size = sum(size for (_, size), other in together if other.stat().st_dev == place.stat().st_dev)
        free = shutil.disk_usage(place).free
        if free < size:
            raise SystemExit(
                f"the export takes about {gigabytes(size)} of disk at {path}, and {gigabytes(free)} are free"
            )


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def available_memory() -> int | None:
    """Bytes that the machine and the container can give without swapping; None if that is unknown."""
    amounts = []
    try:
        amounts.append(1024 * fields(Path("/proc/meminfo"))["MemAvailable:"])
    except (OSError, KeyError):
        if "SC_PHYS_PAGES" in os.sysconf_names:
            amounts.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    cgroup = Path("/sys/fs/cgroup")
    try:
        limit = int((cgroup / "memory.max").read_text())  # "max" without a limit
        used = int((cgroup / "memory.current").read_text())
        # What was read from files is counted as used, and given back when it is needed.
        amounts.append(limit - used + fields(cgroup / "memory.stat")["file"])
    except (OSError, KeyError, ValueError):
        pass
    return min(amounts) if amounts else None


def fields(path: Path) -> dict[str, int]:
    lines = (line.split() for line in path.read_text().splitlines())
    return {line[0]: int(line[1]) for line in lines}


LICENCE_FILE = re.compile(r"(licen[cs]e|notice)(\.(md|txt))?", re.IGNORECASE)
# A licence that asks for a Notice file says in quotation marks what it has to hold.
NOTICE = re.compile(r"\WNotice\W.{0,200}?[\"“]([^\"”“]{20,300}All Rights Reserved\.?)[\"”]", re.DOTALL)


def copy_licences(checkpoint: Checkpoint, out: Path) -> None:
    """Copies the licence files at the checkpoint's root, and writes the Notice that a licence asks for."""
    paths = [path for path in checkpoint.files if LICENCE_FILE.fullmatch(str(path))]
    for path in paths:
        if checkpoint.folder is None:
            source = Path(huggingface_hub.hf_hub_download(checkpoint.name, str(path)))
        else:
            source = checkpoint.folder / path
        shutil.copyfile(source, out / path.name)
    if any(path.stem.lower() == "notice" for path in paths):
        return
    for path in paths:
        asked = NOTICE.search((out / path.name).read_text("utf-8", errors="replace"))
        if asked:
            (out / "Notice").write_text(" ".join(asked[1].split()) + "\n", encoding="utf-8")
