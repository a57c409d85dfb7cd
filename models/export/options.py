"""What kind of pack an export writes, and how far its graphs may be from PyTorch."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch

import fusions
from onnx_files import check
from tensorrt_context import Size

TOLERANCE = 1e-4
HALF_TOLERANCE = 1e-2


@dataclass
class Options:
    """What kind of pack to write."""

    flavour: str = "plain"
    # Precision of the fused graphs. float32 is for exact comparison in tests.
    dtype: torch.dtype = torch.float16
    # "FILE" or "FILE:SCALE", fused into the UNet's weights in this order.
    loras: list[str] = field(default_factory=list)
    # Whether the core also gives deep_features, with a second core that takes them.
    deepcache: bool = False
    allow_unfused: bool = False
    # A file with other weights for the UNet, of a family that has such.
    unet_file: Path | None = None
    # Sizes for which TensorRT compiles the finished plain pack, on this machine's GPU.
    tensorrt_sizes: list[Size] = field(default_factory=list)
    # Whether each graph is run and compared with PyTorch.
    checks: bool = True
    device: str = "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def is_cuda(self) -> bool:
        return self.flavour == "cuda"

    @property
    def is_half(self) -> bool:
        return self.is_cuda and self.dtype == torch.float16

    def check(self, out: Path, cases: list, names: list[str]) -> None:
        if self.checks:
            check(out, cases, names, HALF_TOLERANCE if self.is_half else TOLERANCE, relative=self.is_half)

    def count(self, folder: Path, expected: Counter) -> None:
        """Prints the table of fusions. Raises SystemExit if some were lost and allow_unfused is not set."""
        lost = fusions.compare(folder.name, fusions.count(folder / "model.onnx"), expected)
        if lost and not self.allow_unfused:
            raise SystemExit(
                "fusions were lost: " + "; ".join(lost) + " (--allow-unfused exports all the same)"
            )
