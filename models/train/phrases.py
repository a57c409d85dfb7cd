"""Captions in eight languages and what they ask for: `Phrases(seed).caption()` → Caption.

A caption puts the clauses of word_language.py and vocabulary.py (and those of english.py and chinese.py for
the motions that they know) among words that ask for no motion, and spoils some: typos, missing punctuation,
capital letters, words of another language. While a caption is being made, every clause lies between two
private characters that name its kinds; so its letters' kinds are known in the end.
"""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random

from chinese import Chinese
from draws import FAST, LOCAL_KINDS, MOVING_KINDS, NORMAL, OPPOSITES, SLOW, Draws, Labels
from english import English
from kinds import KINDS
from manners import Manners
from marks import END, Span, mark, unmarked
from typos import Typos
from word_language import CAMERA, FOLDER, Language

LANGUAGES = {"en": 0.15, "zh": 0.15, "es": 0.1, "pt": 0.1, "fr": 0.1, "de": 0.1, "ru": 0.11, "ja": 0.12}
OPPOSED = [*OPPOSITES, {"wind-left", "wind-right"}]
# What the wind carries, when a prompt says where.
WINDY = "snow snow rain sway leaves petals fog embers dust steam clouds bubbles".split()
SCENES = [("things", "deeds"), ("things", "deeds"), ("water", "calm"), ("places", "lights")]
# Their things may be in a picture and keep still.
THERE = ["flicker", "sway"]
# What a prompt may single out as all that moves.
ONLY = "waves waves sway sway clouds flicker steam fog snow rain".split()
GRAMMAR_KINDS = {*MOVING_KINDS, "static"}
ARTICLE = re.compile(r"^(?:(?:the|der|die|das|el|las?|los|les?|os?|as?) |l')")
EMOJI = "😀 ✨ 🎥 📷 🔥 ❄️ 🌊 🌸 🙏 ❤️ 😍 🎬 🌧️ 🍂 👍 🙂 🌙 ☀️ 🐱 🎉".split()


@dataclass(frozen=True)
class Caption:
    """`spans` are (start, end, kinds) of letters. A kind of `labels` may have none; then nothing is known of
    the other letters either."""

    language: str
    text: str
    labels: Labels
    spans: list[Span]


class MarkedEnglish(English):
    """English whose clauses are marked, and now and then come from en.toml."""

    def __init__(self, rng: Random, lists: Language) -> None:
        super().__init__(rng)
        self.lists = lists

    def adverb(self, speed: int) -> str:
        if speed != NORMAL and self.chance(0.3):
            return self.lists.vocabulary.adverb(speed)
        return super().adverb(speed)

    def clause(self, kind: str, speed: int) -> str:
        if self.chance(0.5):
            return mark(self.lists.clause(kind, speed), kind)
        return mark(super().clause(kind, speed), kind)


class MarkedChinese(Chinese):
    """Chinese whose clauses are marked, and now and then come from zh.toml."""

    def __init__(self, rng: Random, lists: Language) -> None:
        super().__init__(rng)
        self.lists = lists

    def clause(self, kind: str, speed: int) -> str:
        if self.chance(0.5):
            return mark(self.lists.clause(kind, speed), kind)
        return mark(super().clause(kind, speed), kind)


def read_table(name: str) -> dict[str, dict[str, list[str]]]:
    """Language → what its list is of → the list."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


class Phrases(Draws):
    def __init__(
        self,
        seed: int,
        names: dict[str, float] | None = None,
        common: dict[str, list[str]] | None = None,
        held: bool | None = None,
        share: float = 0.08,
    ) -> None:
        """`names`: the languages and how often they are drawn; `common`: their common words, if they are at
        hand; `held`: which part of the lists is drawn from, as in vocabulary.py's `chosen`; `share`: how many
        are prompts of wordlists/written."""
        super().__init__(Random(seed))
        self.share = share
        names = names or LANGUAGES
        self.names, self.weights = list(names), list(names.values())
        self.languages = {name: Language(self.rng, name, held) for name in sorted({*names, "en", "zh"})}
        self.typos = Typos(self.rng)
        self.manners = Manners(self.rng)
        self.grammars: dict[str, MarkedEnglish | MarkedChinese] = {
            "en": MarkedEnglish(self.rng, self.languages["en"]),
            "zh": MarkedChinese(self.rng, self.languages["zh"]),
        }
        self.tails, self.scenes, self.named = (read_table(file) for file in ("wind_tails", "scenes", "named"))
        self.words = common or {name: common_words(name, self.languages[name]) for name in self.names}
        for name, words in self.words.items():
            if name in self.languages:
                self.languages[name].others = words
        self.written = {name: written(name) for name in self.names}
        self.resting = {name: resting(language) for name, language in self.languages.items()}
        self.alone = {name: language.vocabulary.alone() for name, language in self.languages.items()}

    def generate(self, count: int) -> list[Caption]:
        return [self.caption() for _ in range(count)]

    def caption(self) -> Caption:
        name = self.rng.choices(self.names, self.weights)[0]
        language = self.languages[name]
        if self.chance(self.share):
            text, labels = self.pick(self.written[name])
            if self.chance(0.4):
                text = self.dressed(
                    self.around(text, language) if self.chance(0.3) else text, language, labels
                )
            return Caption(name, unmarked(self.spoiled(text, name))[0], labels, [])
        if self.chance(0.04):
            return self.noun_alone(language)
        if name in self.grammars and self.chance(0.3):
            motion, labels = self.of_grammar(name)
        else:
            motion, labels = self.motion(language)
        if name in self.grammars and self.chance(0.25):
            foreign = self.grammars["zh" if name == "en" else "en"]
            text = self.grammars[name].sentence(motion, foreign)
        else:
            text = self.around(motion, language)
        if self.chance(0.2):
            text = self.dressed(text, language, labels)
        if not labels and text.strip(" .。!！,，").casefold() in self.alone[name]:
            return self.noun_alone(language)
        text, spans = unmarked(self.spoiled(text, name))
        return Caption(name, text, labels, spans)

    def dressed(self, text: str, language: Language, labels: Labels) -> str:
        """With polite words, chatter or hashtags around it."""
        x = self.rng.random()
        if x < 0.3:
            return self.chatted(text, language)
        if x < 0.5:
            return self.manners.tagged(text, self.words[language.name])
        return self.manners.wished(text, language) if labels else text

    def noun_alone(self, language: Language) -> Caption:
        """What is in many pictures and moves if nothing else is asked for: clouds, sunset."""
        noun, kind = self.pick(list(self.alone[language.name].items()))
        text, spans = unmarked(self.spoiled(mark(noun, kind), language.name))
        return Caption(language.name, text, {kind: NORMAL}, spans)

    # Motions ------------------------------------------------------------------------------------------------

    def of_grammar(self, name: str) -> tuple[str, Labels]:
        """Several motions as english.py and chinese.py join them."""
        grammar = self.grammars[name]
        if self.chance(0.12):
            text, labels = grammar.negated()
            still = labels == {"static": NORMAL} and END not in text
            if still and re.search(r"wave|ripple|water|wind|sway|leaves|breeze", text):
                labels = {}
            return text, labels
        count = 2 if self.chance(0.85) else 3
        kinds = self.kinds(count, MOVING_KINDS)
        if self.chance(0.08):
            moving = self.pick(LOCAL_KINDS)
            speed = self.speed()
            return grammar.still_camera(moving, speed), {"static": NORMAL, moving: speed}
        if isinstance(grammar, Chinese):
            return grammar.combination(kinds)
        return grammar.combination(kinds, may_pair=count == 2)

    def motion(self, language: Language) -> tuple[str, Labels]:
        """Clauses, and what they ask for; empty for captions of distractors alone."""
        x = self.rng.random()
        if x < 0.14:
            return "", {}
        if x < 0.15:
            return language.everything(self.pick([1, 3])), {}
        if x < 0.19 and language.pairs:
            return self.pair(language)
        if x < 0.23:
            return self.windy(language)
        if x < 0.29:
            return self.negated(language)
        if x < 0.32:
            return self.towards(language)
        if x < 0.34:
            return self.only(language)
        if x < 0.35:
            return self.through(language)
        if x < 0.41:
            return self.manners.listed(language)
        if x < 0.45:
            return self.manners.either(language)
        if x < 0.49:
            return self.manners.apart(language)
        if x < 0.505:
            return self.manners.steady(language)
        if x < 0.55:
            return self.manners.contrast(language)
        if x < 0.71:
            kind = self.kinds(1)[0]
            speed = self.speed_of(kind)
            if speed != NORMAL and self.chance(0.15):
                return language.shared(self.clause(language, kind, NORMAL), speed), {kind: speed}
            return self.clause(language, kind, speed), {kind: speed}
        return self.several(language)

    def kinds(self, count: int, among: list[str] | None = None) -> list[str]:
        """Kinds without two that oppose each other; cameras somewhat more often."""
        pool = among or [*KINDS, *CAMERA, *KINDS[8:11]]
        while True:
            kinds = self.rng.sample(pool, count)
            if len(set(kinds)) == count and not any(pair <= set(kinds) for pair in OPPOSED):
                return kinds

    def clause(self, language: Language, kind: str, speed: int) -> str:
        clause = self.clause_alone(language, kind, speed)
        if kind.startswith(("pan", "tilt")) and self.chance(0.08):
            # Where the camera arrives is no reason to go nearer.
            tail = language.filled(self.pick(language.vocabulary.words["reach"]).replace("{x}", "{subject}"))
            return mark(clause + ("" if tail[0] in ",，、" else language.blank) + tail, kind)
        return clause

    def clause_alone(self, language: Language, kind: str, speed: int) -> str:
        grammar = self.grammars.get(language.name)
        if self.chance(0.14):
            spot, clause = self.spot(language), language.clause(kind, speed)
            if not language.blank and self.chance(0.3):
                # What the motion belongs to: 大雪的街道, 大雨の街.
                return mark(clause, kind) + ("的" if language.name == "zh" else "の") + language.subject()
            if not language.blank or self.chance(0.4):
                return spot + self.pick([language.blank, language.blank, ", "]) + mark(clause, kind)
            return mark(clause, kind) + " " + spot
        if grammar and kind in GRAMMAR_KINDS:
            return grammar.clause(kind, speed)
        if language.name != "en" and self.chance(0.06):
            language = self.languages["en"]
        return mark(language.clause(kind, speed), kind)

    def spot(self, language: Language) -> str:
        """A place, or a word or two that say nothing."""
        if language.blank and self.chance(0.3):
            return " ".join(self.pick(self.words[language.name]) for _ in range(self.rng.randint(1, 2)))
        return self.pick(self.scenes[language.name]["spots"])

    def pair(self, language: Language) -> tuple[str, Labels]:
        """There and back, or a weather and its wind."""
        if self.chance(0.4):
            return self.there_and_back(language)
        pair = self.pick(language.pairs)
        phrase = self.pick(pair["phrases"])
        # Of a weather and its wind, an adverb could mean either.
        speed = self.speed() if "{s}" in phrase and set(pair["kinds"]) in OPPOSED else NORMAL
        adverb = "" if speed == NORMAL else language.adverb(speed)
        text = mark(language.filled(phrase, adverb), *pair["kinds"])
        return text, dict.fromkeys(pair["kinds"], speed)

    def there_and_back(self, language: Language) -> tuple[str, Labels]:
        """A camera move and its opposite, made of the phrases of each."""
        kinds = self.pick([sorted(pair) for pair in OPPOSITES])
        self.rng.shuffle(kinds)
        if self.chance(0.5):
            there = self.clause(language, kinds[0], NORMAL)
            return mark(there + self.pick(self.scenes[language.name]["back"]), *kinds), dict.fromkeys(
                kinds, NORMAL
            )
        speed = self.speed()
        clauses = [self.clause(language, kind, speed) for kind in kinds]
        return self.joined(clauses, language, loose=speed != NORMAL), dict.fromkeys(kinds, speed)

    def windy(self, language: Language) -> tuple[str, Labels]:
        """A weather, and where the wind carries it."""
        kind, side = self.pick(WINDY), self.pick(["left", "right"])
        strength, wind = self.pick([("", NORMAL), ("", NORMAL), ("_slow", SLOW), ("_fast", FAST)])
        if kind not in ("clouds", "sway") and self.chance(0.3):
            text = language.filled(
                language.vocabulary.carried(kind, side, strength).replace("{x}", "{subject}")
            )
            return mark(text, kind, f"wind-{side}"), {kind: NORMAL, f"wind-{side}": wind}
        speed = self.speed()
        if self.chance(0.4):
            clauses = [
                self.clause(language, kind, speed),
                mark(language.clause(f"wind-{side}", wind), f"wind-{side}"),
            ]
            self.rng.shuffle(clauses)
            return self.joined(clauses, language, loose=speed != wind), {kind: speed, f"wind-{side}": wind}
        tail = self.pick(self.tails[language.name][side + strength])
        blank = "" if tail[0] in ",，、" else language.blank
        labels = {kind: speed, f"wind-{side}": wind}
        return self.clause(language, kind, speed) + blank + mark(tail, f"wind-{side}"), labels

    def towards(self, language: Language) -> tuple[str, Labels]:
        """A camera that goes to what moves by itself: each has its own speed, the adverb between them too."""
        vocabulary = language.vocabulary
        whole = {kind: [p for p in vocabulary.some(kind, "whole") if "{x}" in p] for kind in CAMERA}
        camera = self.pick([kind for kind, phrases in whole.items() if phrases])
        moving = self.pick([kind for kind in KINDS[9:] if vocabulary.some(kind, "things")])
        speed = self.speed()
        before, _, after = self.pick(whole[camera]).partition("{x}")
        if speed != NORMAL:
            adverb = vocabulary.adverb(speed)
            before = self.pick([f"{adverb}{language.blank}{before}", f"{before}{adverb}{language.blank}"])
        parts = [self.pick(vocabulary.some(moving, "things")), self.pick(vocabulary.some(moving, "does"))]
        thing = self.pick(self.scenes[language.name]["which"]).join(parts)
        thing = language.filled(thing.replace("{x}", "{subject}"))
        clauses = [(before, camera), (thing, moving), (after, camera)]
        text = "".join(mark(part, kind) for part, kind in clauses if part)
        return text, {camera: speed, moving: NORMAL}

    def only(self, language: Language) -> tuple[str, Labels]:
        """What shall move, by name, and nothing else; now and then beside a camera that holds still."""
        lists = self.named[language.name]
        kinds = list(dict.fromkeys(self.rng.sample(ONLY, self.pick([1, 2, 2, 3]))))
        nouns = [mark(self.pick(lists[kind]), kind) for kind in kinds]
        joint = self.pick(lists["joint"])
        named = lists["joint"][1].join(nouns[:-1]) + joint + nouns[-1] if len(nouns) > 1 else nouns[0]
        still = self.chance(0.4)
        text = self.pick(lists["still" if still else "only"]).replace("{n}", named)
        labels = dict.fromkeys(kinds, NORMAL)
        return text, {**labels, "static": NORMAL} if still else labels

    def through(self, language: Language) -> tuple[str, Labels]:
        """A camera that goes through a weather, which has a speed by its own word alone."""
        lists = self.named[language.name]
        camera, speed = self.pick(CAMERA), self.speed()
        field = self.pick([field for field in lists if field.startswith("through_")])
        _, kind, *strength = field.split("_")
        tail = self.pick(lists[field])
        blank = "" if tail[0] in "、，" else " "
        level = {"slow": SLOW, "fast": FAST}[strength[0]] if strength else NORMAL
        text = mark(language.clause(camera, speed), camera) + blank + mark(tail, kind)
        return text, {camera: speed, kind: level}

    def several(self, language: Language) -> tuple[str, Labels]:
        """Two or three kinds, each with its speed or all with one."""
        kinds = self.kinds(2 if self.chance(0.8) else 3)
        if self.chance(0.25):
            # A camera and something that moves in the picture is what people ask for most.
            kinds = [self.pick([*CAMERA, "static", "static"]), self.pick(KINDS[9:])]
            self.rng.shuffle(kinds)
        alike = set(kinds) <= set(CAMERA)
        if self.chance(0.25 if alike else 0.06):
            speed = self.speed()
            text = self.joined([self.clause(language, kind, NORMAL) for kind in kinds], language)
            labels = {kind: NORMAL if kind == "static" else speed for kind in kinds}
            return (text if speed == NORMAL else language.shared(text, speed, alike)), labels
        labels = {kind: self.speed_of(kind) for kind in kinds}
        if self.chance(0.5):
            # One motion has a speed of its own, and the others have none.
            special = self.pick(kinds)
            labels = {kind: speed if kind == special else NORMAL for kind, speed in labels.items()}
        clauses = [self.clause(language, kind, speed) for kind, speed in labels.items()]
        mixed = len(set(labels.values())) > 1
        return self.joined(clauses, language, loose=mixed), labels

    def joined(self, clauses: list[str], language: Language, loose: bool = False) -> str:
        """`loose` leaves out the shortest joins, over which one speed would be read for all."""
        text = clauses[0]
        for clause in clauses[1:]:
            join = language.join()
            short = len(join.strip()) <= (3 if language.blank else 1)
            if loose and short and self.chance(0.6) and not set(",;.，、。；\n") & set(join):
                join = self.pick(["，", "，", "、", "。"] if not language.blank else [", ", ", ", ". ", "; "])
            if loose and not short and self.chance(0.15):
                text += join + self.distractor(language)
                join = self.pick(["，", "，", "。"] if not language.blank else [", ", ", ", ". "])
            text += join + clause
        return text

    def negated(self, language: Language) -> tuple[str, Labels]:
        denied = self.pick(KINDS[:8] + KINDS[9:])
        phrase = language.negated(denied)
        if not phrase:
            return "", {}
        if self.chance(0.3):
            return phrase, {"static": NORMAL} if denied in CAMERA else {}
        group = next((pair for pair in OPPOSED if denied in pair), {denied})
        kinds = self.kinds(2 if self.chance(0.35) else 1, [kind for kind in KINDS if kind not in group])
        labels = {kind: self.speed_of(kind) for kind in kinds}
        clauses = [self.clause(language, kind, speed) for kind, speed in labels.items()]
        join = self.pick(["，", "，", "。", "、"] if not language.blank else [", ", ", ", ". ", "; ", " - "])
        if len(kinds) == 2 and self.chance(0.3):
            return join.join([clauses[0], phrase, clauses[1]]), labels
        clause = self.joined(clauses, language, loose=len(set(labels.values())) > 1)
        if self.chance(0.5):
            frame = self.pick(self.scenes[language.name]["rather"])
            return frame.replace("{n}", phrase).replace("{m}", clause), labels
        parts = [phrase, clause]
        self.rng.shuffle(parts)
        return join.join(parts), labels

    # Around the motions -------------------------------------------------------------------------------------

    def around(self, motion: str, language: Language) -> str:
        """The motions among distractors."""
        x = self.rng.random()
        if motion and x < 0.36:
            return motion
        text = motion
        if motion and x < 0.7:
            text = language.sentence(motion)
        parts = [text] if text else []
        more = self.rng.choices((0, 1, 2, 3, 5), (0.46, 0.36, 0.12, 0.04, 0.02))[0]
        for _ in range(more or not parts):
            parts.insert(int(self.rng.random() * (len(parts) + 1)), self.distractor(language))
        breaks = [", ", ", ", ", ", ". ", ". ", " ", "; ", "\n", " - ", "! "]
        if not language.blank:
            breaks = ["，", "，", "，", "。", "。", " ", "、", "\n", ", ", "！"]
        result = parts[0]
        separator = self.pick(breaks)
        for part in parts[1:]:
            result += (separator if self.chance(0.6) else self.pick(breaks)) + part
        return result

    def chatted(self, text: str, language: Language) -> str:
        """With a word or two of chatter."""
        lists = self.named[language.name]
        if self.chance(0.5):
            text = self.pick(lists["hello"]) + language.blank + text
        if self.chance(0.6):
            text += language.blank + self.pick(lists["bye"])
        return text

    def placed(self, language: Language) -> str:
        """A thing that is somewhere in the picture."""
        lists = self.named[language.name]
        text = self.pick(lists["stands"])
        for hole, field in (("{n}", "objects"), ("{p}", "where")):
            while hole in text:
                text = text.replace(hole, self.pick(lists[field]), 1)
        return text

    def distractor(self, language: Language) -> str:
        if self.chance(0.05):
            language = self.languages[self.pick(self.names)]
        if self.chance(0.07):
            return self.placed(language)
        if self.chance(0.08):
            return self.manners.asks(language)
        vocabulary = language.vocabulary
        if self.chance(0.12):
            return vocabulary.degrees.aside(self.pick([SLOW, FAST]))
        words = self.words.get(language.name) or self.words[self.names[0]]
        x = self.rng.random()
        if x < 0.05:
            return " ".join(self.nonsense(language.name) for _ in range(self.rng.randint(1, 3)))
        if x < 0.17:
            return language.blank.join(self.pick(words) for _ in range(self.rng.randint(1, 5)))
        if x < 0.34:
            text = language.filled(vocabulary.bystander().replace("{x}", "{subject}"))
            return text + language.blank + self.pick(words) if self.chance(0.2) else text
        if x < 0.4:
            return vocabulary.framed(
                self.pick(vocabulary.words["there"]), self.pick(self.resting[language.name])
            )
        if x < 0.46:
            return self.pick(vocabulary.words["scenes"])
        if x < 0.5:
            return language.filled(self.pick(vocabulary.words["orbit"]).replace("{x}", "{subject}"))
        if x < 0.61:
            scenes = self.scenes[language.name]
            parts = self.pick(SCENES)
            return language.blank.join(self.pick(scenes[part]) for part in parts)
        if x < 0.72:
            return self.pick(vocabulary.words["idle"])
        if x < 0.8 and language.name in self.grammars:
            return self.grammars[language.name].distractor()
        return language.distractor()

    def nonsense(self, name: str) -> str:
        consonants, vowels = "bcdfghjklmnprstvwxz", "aeiou"
        if name == "ru":
            consonants, vowels = "бвгджзклмнпрстфхцчш", "аеиоуыюя"
        pairs = [self.pick(consonants) + self.pick(vowels) for _ in range(self.rng.randint(1, 4))]
        return "".join(pair + (self.pick(consonants) if self.chance(0.3) else "") for pair in pairs)

    # Spoiling -----------------------------------------------------------------------------------------------

    def spoiled(self, text: str, name: str) -> str:
        if self.chance(0.12):
            text = self.typos.shortened(text, name)
        if self.chance(0.3):
            text = self.typos.spoil(text, name)
        x = self.rng.random()
        if x < 0.35:
            text = (
                text[:1].upper() + text[1:]
                if text[:1] < "\ue000"
                else text[:1] + text[1:2].upper() + text[2:]
            )
        elif x < 0.39:
            text = text.upper()
        if name == "de" and self.chance(0.1):
            text = text.replace("ä", "ae").replace("ö", "oe").replace("ü", "ue").replace("ß", "ss")
        y = self.rng.random()
        if y < 0.05:
            text = re.sub(r"[,.;:!?，。；、！¿¡]", self.pick(["", " "]), text)
        elif y < 0.2:
            text += self.pick([".", ".", ".", "!", "!!!", "...", "。", "~"])
        elif y < 0.24:
            emoji = " ".join(self.pick(EMOJI) for _ in range(self.rng.randint(1, 3)))
            text = f"{text} {emoji}" if self.chance(0.85) else f"{emoji} {text}"
        return text


def written(name: str) -> list[tuple[str, Labels]]:
    """Prompts of wordlists/written/LANG.txt, as people type them, and what they ask for.

    A line is kinds, a tab and the prompt; a kind that is slow ends with "-", one that is fast with "+".
    """
    prompts = []
    for line in (FOLDER / "written" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        kinds, _, text = line.partition("\t")
        speeds = {"-": SLOW, "+": FAST}
        asked = [kind for kind in kinds.split(",") if kind]
        prompts.append((text, {kind.rstrip("-+"): speeds.get(kind[-1], NORMAL) for kind in asked}))
    return prompts


def resting(language: Language) -> list[str]:
    """Things that may stand in a picture, but for those that ask for a motion by being named."""
    asking = {phrase for motion in language.motions.values() for phrase in motion["phrases"]}
    things = [thing for kind in THERE for thing in language.vocabulary.some(kind, "things")]
    things += [ARTICLE.sub("", thing) for thing in things if ARTICLE.match(thing)]
    return [thing for thing in things if thing.removesuffix("が") not in asking]


def common_words(name: str, language: Language) -> list[str]:
    """The language's common words, but for those that the phrases of motions have or begin like."""
    # Needed nowhere else, and not where captions are made of a folder's common_words.json.
    import wordfreq

    parts = language.vocabulary
    speeds = [parts.words[key] for key in ("few", "many", "slow", "fast")]
    text = json.dumps([language.motions, language.speeds, parts.kinds, speeds], ensure_ascii=False).lower()
    words = wordfreq.top_n_list(name, 16000)[60 if language.blank else 0 :]
    if not language.blank:
        letters = set(text)
        return [word for word in words if not set(word) & letters] or ["一"]
    stems = {word[:5] for word in re.findall(r"[^\W\d_]+", text)}
    return [word for word in words if word[:5] not in stems and word.isalpha()]


def read_common_words(folder: Path) -> dict[str, list[str]]:
    """Those that words_tokenizer.py left in the folder."""
    words: dict[str, list[str]] = json.loads((folder / "common_words.json").read_text(encoding="utf-8"))
    return words
