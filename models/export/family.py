"""What the exporter knows of one kind of model: a module with one `Family`, which export.py lists."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkpoint import Checkpoint
from options import Options

# Of every checkpoint; a family's own come to them.
FILES = ("model_index.json", "scheduler/scheduler_config.json", "feature_extractor/preprocessor_config.json")


@dataclass(frozen=True)
class Family:
    """`title` is for people, `pipeline` the class that model_index.json names, `parts` the folders with
    weights.

    `check` raises SystemExit for a checkpoint or for options that cannot be used. `card` gives what the
    manifest says unless it is told otherwise, with the manifest's keys. `write` writes graphs and
    configuration into a folder and returns the manifest's `architecture`.
    """

    title: str
    pipeline: str
    parts: tuple[str, ...]
    check: Callable[[Checkpoint, Options], None]
    card: Callable[[str, Options], dict[str, Any]]
    write: Callable[[str, Path, str | None, Options], dict[str, Any]]

    def files(self) -> tuple[str, ...]:
        return (*FILES, *(f"{part}/config.json" for part in self.parts))
