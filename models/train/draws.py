"""What a caption names, and the seeded choices that captions are made of."""

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

SLOW, NORMAL, FAST = 1, 2, 3
# The order decides what a seed draws.
CAMERA_KINDS = "zoom-in zoom-out pan-left tilt-up rotate-cw rotate-ccw pan-right tilt-down".split()
LOCAL_KINDS = ["waves", "sway"]
MOVING_KINDS = CAMERA_KINDS + LOCAL_KINDS

# Of one of these, a clip goes there and back.
OPPOSITES = [
    {"zoom-in", "zoom-out"},
    {"pan-left", "pan-right"},
    {"tilt-up", "tilt-down"},
    {"rotate-cw", "rotate-ccw"},
]

# Kind of motion -> speed (SLOW, NORMAL or FAST); kinds that a caption does not name are absent.
Labels = dict[str, int]

Entry = TypeVar("Entry")


class Draws:
    """Choices from one generator. One draw more or less changes all captions after it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def pick(self, entries: Sequence[Entry]) -> Entry:
        return entries[int(self.rng.random() * len(entries))]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def speed(self) -> int:
        return self.rng.choices((SLOW, NORMAL, FAST), (0.34, 0.36, 0.30))[0]

    def speed_of(self, kind: str) -> int:
        """A still picture has no speed, so nothing is drawn for it."""
        return NORMAL if kind == "static" else self.speed()


class Distracting(Protocol):
    """A language, as far as sentences of the other one need it."""

    def distractor(self) -> str: ...
