"""What verify.py and verify_svd.py share: stages that report, clocks, errors.

Without a GPU everything runs on the CPU, fused graphs with their fusions undone: a rehearsal with tiny
models, whose times mean nothing.
"""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor

from gpu_sessions import used_gib
from options import Options

TOLERANCE = 1e-2
HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"


class Report:
    """Results so far; written after every stage, so that a run which is cut short leaves what it had."""

    def __init__(self, path: Path | None, seconds: float, without: list[str]) -> None:
        self.path, self.end, self.without = path, time.monotonic() + seconds, without
        self.values: dict[str, Any] = {}

    def stage(self, name: str, work: Callable[[dict], None], needs: float = 0) -> None:
        """Runs a stage unless fewer seconds are left than it needs. `work` fills the dictionary that it is
        given; its failure is a result, too.
        """
        if name in self.without:
            return
        left = self.end - time.monotonic()
        result: dict[str, Any] = {}
        start = time.monotonic()
        try:
            if left < needs:
                result["skipped"] = f"{left:.0f} s left of {needs:.0f} s"
            else:
                work(result)
        except Exception as error:  # the other stages still tell something
            result["error"] = f"{type(error).__name__}: {error}"[:600]
        result["seconds"] = round(time.monotonic() - start, 1)
        self.values[name] = result
        print(name, json.dumps(result), flush=True)
        if self.path:
            self.path.write_text(json.dumps(self.values, indent=1))

    def is_good(self) -> bool:
        return is_good(self.values)


def is_good(result: object) -> bool:
    """Whether all of it was measured, and lies within its bounds. An error in words is a failure, wherever it
    stands; one in numbers is a measurement.
    """
    if not isinstance(result, dict):
        return True
    failed = "skipped" in result or isinstance(result.get("error"), str)
    within = result.get("ok", True) and result.get("finite", True)
    return not failed and within and all(map(is_good, result.values()))


def options_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Adds what both commands have, and parses. Exits without a GPU, unless the models are tiny."""
    parser.add_argument("checkpoint", nargs="?", type=Path)
    parser.add_argument("pack", nargs="?", type=Path)
    parser.add_argument("--random", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--tiny", action="store_true", help="with --random: tiny models, for a rehearsal without a GPU"
    )
    parser.add_argument(
        "--seconds", type=float, default=600, help="stages that would take longer are left out"
    )
    parser.add_argument("--without", default="", help="stages to leave out, with commas between")
    parser.add_argument("--json", type=Path, help="write the results here as well, after every stage")
    args = parser.parse_args()
    if not args.random and not args.pack:
        parser.error("name a checkpoint and a pack, or --random FOLDER")
    if not HAS_GPU and not (args.tiny and args.random):
        raise SystemExit(f"{parser.prog} needs a GPU; --random FOLDER --tiny is a rehearsal without")
    if HAS_GPU and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN from PyTorch's packages
    return args


def report_of(args: argparse.Namespace) -> Report:
    report = Report(args.json, args.seconds, args.without.split(","))
    report.values["device"] = torch.cuda.get_device_name() if HAS_GPU else "CPU"
    versions = {"torch": torch.__version__, "diffusers": diffusers.__version__}
    report.values["versions"] = {**versions, "onnxruntime": ort.__version__}
    report.values["usedGiB"] = used_gib()
    return report


def options_for(args: argparse.Namespace) -> Options:
    """Of the export of random models."""
    precision = {"dtype": torch.float32, "allow_unfused": True} if args.tiny else {}
    return Options(flavour="cuda", checks=False, deepcache=True, **precision)


def wait() -> None:
    if HAS_GPU:
        torch.cuda.synchronize()


def relative(value: np.ndarray, reference: Tensor) -> float:
    value = torch.from_numpy(np.ascontiguousarray(value)).to(reference.device).float()
    return float((value - reference.float()).norm() / reference.float().norm())


def milliseconds(run: Callable[[], object], repeats: int) -> float:
    """Median; `run` must end when the work has ended."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return round(statistics.median(times), 2)


# Of by_turns: seconds that one side runs before the other one's turn, and how often each has its turn.
TURN_SECONDS = 4.0 if HAS_GPU else 0.05
TURNS = 4


def by_turns(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of each in the steady state; each must end when its work has ended.

    A large card reaches the limit of its power within a second and slows down by a fifth, so what runs first
    or for a short time looks faster. By turns each side has the same card.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(TURNS):
        for name, run in runs.items():
            start, count = time.perf_counter(), 0
            while time.perf_counter() - start < TURN_SECONDS:
                run()
                count += 1
            times[name].append((time.perf_counter() - start) * 1000 / count)
    return {name: round(statistics.median(values), 2) for name, values in times.items()}


def copy_of(module: torch.nn.Module) -> torch.nn.Module:
    """The same weights in float32."""
    with torch.device("meta"):
        copy = type(module).from_config(module.config)
    copy = copy.to_empty(device=DEVICE).eval()
    copy.load_state_dict(module.state_dict())
    return copy


def kernel_table(run: Callable[[], object]) -> list[list]:
    """GPU microseconds and calls of the largest kernels of one run."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as result:
        run()
        torch.cuda.synchronize()
    rows = [(e.key[:110], round(e.self_device_time_total), e.count) for e in result.key_averages()]
    return [list(row) for row in sorted(rows, key=lambda row: -row[1])[:28]]


def give_back() -> None:
    """The memory that torch keeps for later."""
    gc.collect()
    if HAS_GPU:
        torch.cuda.empty_cache()
