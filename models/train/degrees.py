"""How slow, fast, little and much are said, put together from the parts in wordlists/degrees.toml:
`Degrees(rng, "en").adverb(FAST)` → "really really quickly"."""

import tomllib
from pathlib import Path
from random import Random

from draws import SLOW, Draws

FOLDER = Path(__file__).with_name("wordlists")
PARTS = "very normal own who deeds moods decoys".split()
SPEEDED = ["{}_core", "{}", "own_{}", "{}_camera"]
AMOUNTS = "few many outer_few outer_many".split()
CAMERAS = "zoom-in zoom-out pan-left pan-right tilt-up tilt-down".split()
FIELDS = [
    *PARTS,
    *(field.format(speed) for field in SPEEDED for speed in ("slow", "fast")),
    *AMOUNTS,
    *(f"camera_{kind}" for kind in CAMERAS),
]


def parts_of(name: str) -> dict[str, list[str]]:
    """Field → its entries."""
    read = tomllib.loads((FOLDER / "degrees.toml").read_text(encoding="utf-8"))[name]
    if set(read) != set(FIELDS):
        raise ValueError(f"degrees.toml: fields of {name} {sorted(set(read) ^ set(FIELDS))}")
    return {field: text.split("|") for field, text in read.items()}


class Degrees(Draws):
    def __init__(self, rng: Random, name: str) -> None:
        super().__init__(rng)
        self.name = name
        self.parts = parts_of(name)

    def part(self, field: str) -> str:
        return self.pick(self.parts[field])

    def adverb(self, speed: int) -> str:
        """What says the speed of one motion: a plain adverb with how much so, or a phrase."""
        word = "slow" if speed == SLOW else "fast"
        x = self.rng.random()
        if x < 0.4:
            return self.part(word)
        core = self.part(f"{word}_core")
        return core if x < 0.5 else self.part("very").replace("{a}", core)

    def amount(self, speed: int) -> str:
        """A frame around a thing, {n}, with how much of it."""
        word = "few" if speed == SLOW else "many"
        frame = self.part(word)
        if frame.startswith("{n}") or self.chance(0.65):
            return frame
        return self.part(f"outer_{word}").replace("{f}", frame)

    def own(self, speed: int) -> str:
        """A speed that stands for itself: slow please."""
        if self.chance(0.4):
            return self.part("own_slow" if speed == SLOW else "own_fast")
        return self.part("own").replace("{t}", self.adverb(speed))

    def camera(self, kind: str, speed: int) -> str:
        """A camera's move by its noun, with its speed."""
        frame = self.part("slow_camera" if speed == SLOW else "fast_camera")
        return frame.replace("{c}", self.part(f"camera_{kind}"))

    def aside(self, speed: int) -> str:
        """Talk of speeds and amounts that are no motion's, now and then of how fast somebody is."""
        x = self.rng.random()
        if x < 0.55:
            return self.part("decoys")
        if x < 0.72:
            return self.part("very").replace("{a}", self.part("moods"))
        who, deed, adverb = self.part("who"), self.part("deeds"), self.adverb(speed)
        if self.name in ("zh", "ja"):
            return who + adverb + deed
        return f"{who} {adverb} {deed}" if self.name == "ru" else f"{who} {deed} {adverb}"
