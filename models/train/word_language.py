"""One language of the captions: wordlists/LANG.toml's phrases, filled in, and vocabulary.py's clauses."""

import tomllib
from pathlib import Path
from random import Random
from typing import TypedDict

from draws import FAST, NORMAL, SLOW, Draws
from japanese import other_form
from kinds import KINDS
from vocabulary import Vocabulary, chosen

FOLDER = Path(__file__).with_name("wordlists")
CAMERA = KINDS[:8]
# Without blanks between words.
UNSPACED = {"zh", "ja"}


class Motion(TypedDict, total=False):
    """A product is a list of lists; one entry of each, side by side, is a phrase."""

    phrases: list[str]
    products: list[list[list[str]]]
    slow: list[str]
    fast: list[str]
    negated: list[str]


class Speeds(TypedDict, total=False):
    slow_after: list[str]
    fast_after: list[str]
    slow_before: list[str]
    fast_before: list[str]
    slow_all: list[str]
    fast_all: list[str]
    strength_slow: list[str]
    strength_fast: list[str]
    nouns: dict[str, list[str]]


class Pair(TypedDict):
    kinds: list[str]
    phrases: list[str]


class Sentences(TypedDict):
    openings: list[str]
    joins: list[str]
    with_subject: list[str]
    styles: list[str]


class Language(Draws):
    """Clauses of one language. Nothing here knows what a caption asks for besides its one clause."""

    def __init__(self, rng: Random, name: str, held: bool | None = None) -> None:
        """`held`: which part of the motions' phrases is drawn from, as in vocabulary.py's `chosen`."""
        super().__init__(rng)
        self.name = name
        self.vocabulary = Vocabulary(rng, name, held)
        lists = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
        self.motions: dict[str, Motion] = lists["motions"]
        missing = [kind for kind in KINDS if not self.motions.get(kind, {}).get("phrases")]
        if missing or set(self.motions) - set(KINDS):
            raise ValueError(f"{name}.toml: motions without phrases {missing}, or unknown ones")
        for entry in self.motions.values():
            for field in ("phrases", "slow", "fast"):
                if field in entry:
                    entry[field] = chosen(entry[field], held)
            entry["products"] = [
                [chosen(part, held) for part in product] for product in entry.get("products", [])
            ]
        self.speeds: Speeds = lists["speeds"]
        self.after = {SLOW: self.speeds["slow_after"], FAST: self.speeds["fast_after"]}
        self.before = {SLOW: self.speeds.get("slow_before", []), FAST: self.speeds.get("fast_before", [])}
        self.all = {SLOW: self.speeds["slow_all"], FAST: self.speeds["fast_all"]}
        self.strengths = {
            SLOW: self.speeds.get("strength_slow", []),
            FAST: self.speeds.get("strength_fast", []),
        }
        self.nouns: dict[str, list[str]] = self.speeds.get("nouns", lists.get("nouns", {}))
        self.pairs: list[Pair] = lists.get("pairs", [])
        self.sentences: Sentences = lists["sentences"]
        around = [*self.sentences["openings"], *self.sentences["with_subject"]]
        if lost := [text for text in around if "{m}" not in text]:
            raise ValueError(f"{name}.toml: sentences without their motion {lost}")
        self.subjects: list[str] = lists["subjects"]["phrases"]
        self.distractors: list[str] = lists["distractors"]["phrases"]
        self.blank = "" if name in UNSPACED else " "
        # Words of any kind: what a camera looks at may be anything.
        self.others: list[str] = []

    def subject(self) -> str:
        text = self.pick(self.subjects)
        if self.others and self.chance(0.25):
            text = self.blank.join([*text.split(" ")[:-1], self.pick(self.others)])
        return text

    def filled(self, phrase: str, adverb: str = "") -> str:
        """The phrase with its subject, and with the adverb, if any, set off by blanks."""
        while "{subject}" in phrase:
            phrase = phrase.replace("{subject}", self.subject(), 1)
        before, mark, after = phrase.partition("{s}")
        if not mark:
            return phrase
        after = after.replace("{s}", "")
        if adverb and before and not before.endswith((" ", "-", "'")):
            adverb = self.blank + adverb
        if adverb and after and not after.startswith((" ", ",", ".", ";", ":")):
            adverb += self.blank
        return (before + adverb + after).strip()

    def adverb(self, speed: int) -> str:
        """What says the speed of one motion."""
        return self.vocabulary.adverb(speed) if self.chance(0.5) else self.pick(self.after[speed])

    def everything(self, speed: int) -> str:
        """A speed for the whole prompt."""
        if self.chance(0.45):
            return self.vocabulary.degrees.own(speed)
        return self.pick(self.all[speed])

    def clause(self, kind: str, speed: int) -> str:
        """What asks for one motion at one speed."""
        text = self.as_listed(kind, speed)
        return other_form(self, text) if self.name == "ja" and self.chance(0.3) else text

    def as_listed(self, kind: str, speed: int) -> str:
        """A clause with its words as the lists have them."""
        if self.vocabulary.has(kind, speed) and self.chance(0.5):
            return self.filled(self.vocabulary.clause(kind, speed).replace("{x}", "{subject}"))
        entry = self.motions[kind]
        phrase = self.pick(entry["phrases"])
        if entry["products"] and self.chance(0.55):
            phrase = self.blank.join(map(self.pick, self.pick(entry["products"])))
        if speed == NORMAL or kind == "static":
            return self.filled(phrase)
        own = (entry.get("slow") if speed == SLOW else entry.get("fast")) or []
        strengths = self.strengths[speed]
        nouns = self.nouns.get(kind, [])
        x = self.rng.random()
        if own and x < 0.42:
            return self.filled(self.pick(own))
        if nouns and strengths and x < 0.58:
            return self.filled(self.pick(strengths).replace("{noun}", self.pick(nouns)))
        return self.with_adverb(phrase, speed)

    def with_adverb(self, phrase: str, speed: int) -> str:
        early = self.before[speed]
        x = self.rng.random()
        if early and x < 0.25:
            return self.pick(early) + self.blank + self.filled(phrase)
        if x < 0.33:
            return self.adverb(speed) + self.pick([self.blank, self.blank, ", "]) + self.filled(phrase)
        if x < 0.43:
            breaks = [", ", ", ", " - ", ": ", ". ", "... "] if self.blank else ["，", "、", "。", " ", "："]
            return self.filled(phrase) + self.pick(breaks) + self.everything(speed)
        if x < 0.46:
            apart = "({})" if self.blank else "（{}）"
            return self.filled(phrase) + self.blank + apart.format(self.adverb(speed))
        if "{s}" in phrase:
            return self.filled(phrase, self.adverb(speed))
        return self.filled(phrase) + self.blank + self.adverb(speed)

    def shared(self, clauses: str, speed: int, alike: bool = True) -> str:
        """Clauses without a speed, and one for all of them. Unless they are `alike`, it must stand apart."""
        word = self.everything(speed)
        frames = [
            "{m}, {t}",
            "{m}, {t}",
            "{t}, {m}",
            "{m}. {t}",
            "{t}: {m}",
            "{m} ({t})",
            "{m}; {t}",
            "{m} - {t}",
        ]
        if alike and self.chance(0.25):
            word = self.adverb(speed)
            frames = ["{t} {m}", "{m} {t}", "{m}, {t}", "{t}, {m}"]
        frame = self.pick(frames)
        if self.name in UNSPACED:
            frame = frame.replace(", ", self.pick(["，", "、", ",", " "])).replace(". ", "。")
            if "{t} {m}" in frame or "{m} {t}" in frame:
                frame = frame.replace(" ", "")
        return frame.replace("{m}", clauses).replace("{t}", word)

    def negated(self, kind: str) -> str:
        """A phrase that forbids the motion, or none."""
        denial = self.vocabulary.denial(kind) if self.chance(0.5) else ""
        if denial:
            return self.filled(denial.replace("{x}", "{subject}"))
        phrases = self.motions[kind].get("negated", [])
        return self.filled(self.pick(phrases)) if phrases else ""

    def join(self) -> str:
        return self.pick(self.sentences["joins"])

    def distractor(self) -> str:
        """What asks for no motion."""
        x = self.rng.random()
        if x < 0.5:
            return self.filled(self.pick(self.distractors))
        if x < 0.8:
            return self.subject()
        return self.pick(self.sentences["styles"])

    def sentence(self, motion: str) -> str:
        """A sentence around the motion's clauses."""
        x = self.rng.random()
        if x < 0.5:
            text = self.pick(self.sentences["openings"])
        else:
            text = self.pick(self.sentences["with_subject"])
        return self.filled(text).replace("{m}", motion)
