"""Clauses built from the words of wordlists/parts/LANG.toml: `Vocabulary(rng, "en").clause(kind, speed)`.

A kind has `things` that `do` something, each by itself or slow and fast (light and heavy) by its own meaning,
`whole` clauses, and things that ask for it where they are the whole prompt (`alone`). Entries are separated
by "|". What a kind towards the right says is that of the left, mirrored. [words] has what goes with any of
them: requests, few and many of a thing, denials, adverbs, words that say nothing about a speed, places,
where a camera's move ends (`reach`), winds that `carry` a thing, and what asks for no motion, although it
may sound like one: `idle`, `people` and their `acts`, `scenes`, things that are merely `there`, and a
camera that would have to go around something (`orbit`).
"""

import re
import tomllib
import zlib
from pathlib import Path
from random import Random

from degrees import Degrees
from draws import FAST, NORMAL, SLOW, Draws

FOLDER = Path(__file__).with_name("wordlists") / "parts"
# Languages in which the thing may stand behind what it does: cae nieve, падает снег.
VERB_FIRST = {"es": 0.35, "pt": 0.35, "ru": 0.4, "fr": 0.08, "de": 0.12}
UNSPACED = {"zh", "ja"}
# Their things are in many pictures and do not move for that: a lake, trees, a lamp, the evening.
RESTING = {"waves", "sway", "clouds", "flicker", "rays", "dusk"}
SPEEDS = {SLOW: "slow_", NORMAL: "", FAST: "fast_"}
FIELDS = [speed + part for speed in SPEEDS.values() for part in ("things", "does", "whole")]
ALONE = "alone"
# What left and right are exchanged in.
SIDED = ["acts", "carry", "carry_slow", "carry_fast"]
WORDS = "requests few many denied slow fast neutral after places idle people scenes there orbit reach".split()
VOWEL = re.compile(r"(?<=[^\W\d_])[aeiouаеиоуыюя](?=[^\W\d_])", re.IGNORECASE)


def entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.replace("\n", "").split("|") if entry.strip()]


def held(entry: str) -> bool:
    """Whether the entry, one in twenty, is kept back from a training that is to be measured with it."""
    return zlib.crc32(entry.encode()) % 20 == 0


def chosen(some: list[str], which: bool | None) -> list[str]:
    """All entries (None), those held (True) or those not held (False); all where none is left."""
    return [entry for entry in some if which is None or held(entry) == which] or some


class Vocabulary(Draws):
    def __init__(self, rng: Random, name: str, which: bool | None = None) -> None:
        """`which`: the part of the lists that is drawn from, as in `chosen`."""
        super().__init__(rng)
        self.name = name
        self.blank = "" if name in UNSPACED else " "
        self.degrees = Degrees(rng, name)
        lists = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
        words = lists.pop("words")
        self.words = {key: entries(words[key]) for key in WORDS}
        sides = entries(words["mirror"])
        for kind in ("pan", "wind"):
            lists[f"{kind}-right"] = mirrored(lists[f"{kind}-left"], sides)
        left = {key: words[key] for key in SIDED}
        right = mirrored(left, sides)
        self.words |= {f"{key}-left": entries(left[key]) for key in SIDED}
        self.words |= {f"{key}-right": entries(right[key]) for key in SIDED}
        unknown = {field for fields in lists.values() for field in fields} - {*FIELDS, ALONE}
        if unknown:
            raise ValueError(f"parts/{name}.toml: unknown {sorted(unknown)}")
        self.kinds = {
            kind: {field: chosen(entries(text), which) for field, text in fields.items()}
            for kind, fields in lists.items()
        }
        cameras = {kind for kind in self.kinds if kind.startswith(("pan", "tilt", "zoom", "rotate"))}
        # Their things ask for the motion by being named, and there may be few or many of them.
        self.counted = self.kinds.keys() - cameras - RESTING

    def has(self, kind: str, speed: int) -> bool:
        return any(self.some(kind, field) for field in ("things", "whole", SPEEDS[speed] + "whole"))

    def some(self, kind: str, field: str) -> list[str]:
        return self.kinds.get(kind, {}).get(field, [])

    def alone(self) -> dict[str, str]:
        """Noun → the kind that it asks for where it is the whole prompt."""
        return {noun.casefold(): kind for kind in self.kinds for noun in self.some(kind, ALONE)}

    def clause(self, kind: str, speed: int) -> str:
        """What asks for one motion at one speed."""
        text = self.normal(kind) if speed == NORMAL else self.at_speed(kind, speed)
        if speed == NORMAL and kind != "static" and self.chance(0.06):
            told = self.degrees.part("normal")
            parts = [text, told] if self.chance(0.75) else [told, text]
            text = self.pick([self.blank, self.blank, ", " if self.blank else "，"]).join(parts)
        if self.chance(0.12):
            text += self.blank + self.pick(self.words["places"])
        if self.chance(0.05):
            text += (", " if self.blank else "，") + self.pick(self.words["after"])
        return text

    def denial(self, kind: str) -> str:
        """What forbids the motion, or nothing where its things do not ask for it by being named."""
        things = [part for field in FIELDS if field.endswith("things") for part in self.some(kind, field)]
        if kind not in self.counted or not things:
            return ""
        return self.framed(self.pick(self.words["denied"]), self.pick(things))

    def normal(self, kind: str) -> str:
        things, whole = self.some(kind, "things"), self.some(kind, "whole")
        if whole and (not things or self.chance(len(whole) / (len(whole) + 2 * len(things)))):
            return self.pick(whole)
        return self.deed(kind, self.neutral(self.pick(things)), "does", alone=kind in self.counted)

    def at_speed(self, kind: str, speed: int) -> str:
        own = SPEEDS[speed]
        whole, things = self.some(kind, own + "whole"), self.some(kind, own + "things")
        does = self.some(kind, own + "does")
        ways = [
            (len(whole), lambda: self.pick(whole)),
            (1.5 * len(things), lambda: self.deed(kind, self.pick(things), "does", alone=True)),
            (1.5 * len(does) * bool(self.some(kind, "things")), lambda: self.deed(kind, "", own + "does")),
        ]
        if kind in self.counted and self.some(kind, "things"):
            ways.append((20, lambda: self.amount(kind, speed)))
        ways.append((20, lambda: self.with_adverb(self.normal(kind), speed)))
        way = self.rng.choices([make for _, make in ways], [weight for weight, _ in ways])[0]
        return way()

    def amount(self, kind: str, speed: int) -> str:
        """Little or much of the kind's thing."""
        if self.chance(0.5):
            frame = self.degrees.amount(speed)
        else:
            frame = self.pick(self.words["few" if speed == SLOW else "many"])
        return self.framed(self.stretched(frame), self.pick(self.some(kind, "things")))

    def adverb(self, speed: int) -> str:
        """What says the speed of one motion."""
        if self.chance(0.5):
            return self.degrees.adverb(speed)
        return self.pick(self.words["slow" if speed == SLOW else "fast"])

    def deed(self, kind: str, thing: str, field: str, alone: bool = False) -> str:
        """A thing with what it does, or `alone` or asked for; any of the kind's where none is given."""
        does = self.some(kind, field)
        if alone and (not does or self.chance(0.4)):
            return self.framed(self.pick(self.words["requests"]), thing) if self.chance(0.4) else thing
        parts = [thing or self.pick(self.some(kind, "things")), self.pick(does)]
        if self.chance(VERB_FIRST.get(self.name, 0)):
            parts.reverse()
        return self.blank.join(parts)

    def neutral(self, thing: str) -> str:
        """Now and then with a word that says nothing about a speed."""
        if not self.chance(0.08):
            return thing
        return self.pick(self.words["neutral"]).replace("{n}", thing)

    def framed(self, frame: str, thing: str) -> str:
        """The frame around the thing, which in Japanese loses the particle of a subject there."""
        if self.name == "ja" and thing.endswith(("が", "を", "は")):
            thing = thing[:-1]
        return frame.replace("{n}", thing)

    def stretched(self, text: str) -> str:
        """Now and then with a vowel drawn out: muuuito, sooo many."""
        vowels = list(VOWEL.finditer(text)) if self.chance(0.06) else []
        if not vowels:
            return text
        at = self.pick(vowels).start()
        return text[:at] + text[at] * self.rng.randint(3, 6) + text[at + 1 :]

    def bystander(self) -> str:
        """Somebody or something that moves by itself, or looks somewhere."""
        act = self.pick(self.words[self.pick(["acts-left", "acts-right"])])
        return self.pick(self.words["people"]) + self.blank + act

    def carried(self, kind: str, side: str, strength: str) -> str:
        """A wind to the side that carries the kind's thing."""
        return self.framed(
            self.pick(self.words[f"carry{strength}-{side}"]), self.pick(self.some(kind, "things"))
        )

    def with_adverb(self, text: str, speed: int) -> str:
        adverb = self.stretched(self.adverb(speed))
        x = self.rng.random()
        if x < 0.26:
            return adverb + self.blank + text
        if x < 0.36:
            return text + (", " if self.blank else "，") + adverb
        if x < 0.42:
            return text + (f" ({adverb})" if self.blank else f"（{adverb}）")
        if x < 0.48:
            own = self.degrees.own(speed)
            return f"{text}. {own[:1].upper()}{own[1:]}" if self.blank else f"{text}。{own}"
        words = text.split(" ")
        if self.blank and x < 0.62 and len(words) > 2:
            at = self.rng.randint(1, len(words) - 1)
            return " ".join([*words[:at], adverb, *words[at:]])
        return text + self.blank + adverb


def mirrored(fields: dict[str, str], pairs: list[str]) -> dict[str, str]:
    """With left and right exchanged; a pair is "left:right", longer words first."""
    out = {}
    for field, text in fields.items():
        for number, pair in enumerate(pairs):
            left, right = pair.split(":")
            text = text.replace(left, f"<{number}a>").replace(right, f"<{number}b>")
        for number, pair in enumerate(pairs):
            left, right = pair.split(":")
            text = text.replace(f"<{number}a>", right).replace(f"<{number}b>", left)
        out[field] = text
    return out
