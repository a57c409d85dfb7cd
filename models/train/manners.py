"""How people put a request: a list of things, amounts that stand apart, one thing wanted and another not,
hashtags, polite words around it all."""

import re
import tomllib
from random import Random

from degrees import CAMERAS, parts_of
from draws import FAST, NORMAL, SLOW, Draws, Labels
from kinds import KINDS
from marks import mark
from word_language import CAMERA, FOLDER, Language

MOVING = list(KINDS[9:27])


def behind(frame: str) -> str:
    """The amount of a frame that has it set off behind its thing: "{n}, not many", or nothing."""
    told = re.fullmatch(r"\{n\}(?:[,:，：、] ?| \(|（| : )([^{]+?)[)）]?", frame)
    return told[1] if told else ""


class Manners(Draws):
    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        read = tomllib.loads((FOLDER / "manners.toml").read_text(encoding="utf-8"))
        self.tags: dict[str, list[str]] = {part: words.split() for part, words in read.pop("tags").items()}
        self.lists: dict[str, dict[str, list[str]]] = read
        for name, lists in self.lists.items():
            parts = parts_of(name)
            for field, amounts in (("little", "few"), ("much", "many")):
                lists[field] = [*lists[field], *filter(None, map(behind, parts[amounts]))]

    def listed(self, language: Language) -> tuple[str, Labels]:
        """Two to four things one after the other, now and then with how much of them, or but for one."""
        kinds = self.rng.sample(MOVING, self.rng.choices((2, 3, 4), (0.6, 0.3, 0.1))[0])
        items, labels = [], dict[str, int]()
        for kind in kinds:
            text, labels[kind] = self.item(language, kind)
            items.append(mark(text, kind))
        if self.chance(0.25):
            camera = self.pick(CAMERA)
            labels[camera] = self.pick([SLOW, NORMAL, NORMAL, FAST])
            clause = mark(language.clause(camera, labels[camera]), camera)
            items.insert(self.pick([0, len(items)]), clause)
        lists = self.lists[language.name]
        too = self.pick(lists["too"])
        text = items[0]
        for item in items[1:]:
            text += (too if self.chance(0.6) else self.pick(lists["too"])) + item
        if self.chance(0.15):
            denied = self.thing(language, self.another(language, kinds))
            text += language.vocabulary.framed(self.pick(lists["spared"]).replace("{d}", "{n}"), denied)
        return text, labels

    def item(self, language: Language, kind: str) -> tuple[str, int]:
        """A thing of a list and its amount."""
        vocabulary = language.vocabulary
        x = self.rng.random()
        if x < 0.2 or not vocabulary.some(kind, "things"):
            speed = self.pick([SLOW, NORMAL, NORMAL, FAST])
            return language.clause(kind, speed), speed
        if kind not in vocabulary.counted:
            parts = [self.thing(language, kind), self.pick(vocabulary.some(kind, "does"))]
            return language.filled(language.blank.join(parts).replace("{x}", "{subject}")), NORMAL
        if x < 0.75:
            return vocabulary.framed("{n}", self.thing(language, kind)), NORMAL
        speed = self.pick([SLOW, FAST])
        return language.filled(vocabulary.amount(kind, speed).replace("{x}", "{subject}")), speed

    def thing(self, language: Language, kind: str) -> str:
        return self.pick(language.vocabulary.some(kind, "things"))

    def another(self, language: Language, kinds: list[str]) -> str:
        """A kind whose things ask for it by being named, and that is none of these."""
        counted = language.vocabulary.counted
        return self.pick([k for k in MOVING if k in counted and k not in kinds])

    def plain(self, language: Language, kind: str) -> str:
        """A thing, no matter how many of it."""
        frame = self.pick(self.lists[language.name]["plain"])
        return language.vocabulary.framed(frame, self.thing(language, kind))

    def either(self, language: Language) -> tuple[str, Labels]:
        """One thing, another one not, and now and then something else that moves."""
        wanted = self.another(language, [])
        denied = self.another(language, [wanted])
        framed, lists = language.vocabulary.framed, self.lists[language.name]
        before, hole, after = self.pick(lists["either"]).partition("{n}")
        thing = mark(framed("{n}", self.thing(language, wanted)), wanted)
        text = before + hole.replace("{n}", thing) + after
        text = text.replace("{d}", framed("{n}", self.thing(language, denied)))
        labels = {wanted: NORMAL}
        if self.chance(0.4):
            more = self.pick([kind for kind in [*CAMERA, *MOVING] if kind not in (wanted, denied)])
            labels[more] = self.pick([SLOW, NORMAL, FAST])
            parts = [text, mark(language.clause(more, labels[more]), more)]
            self.rng.shuffle(parts)
            text = self.pick([", ", ", ", ". ", "; "] if language.blank else ["，", "、", "。"]).join(parts)
        return text, labels

    def apart(self, language: Language) -> tuple[str, Labels]:
        """A thing or what it does, and somewhere else how much of it."""
        kind = self.another(language, [])
        clause = self.plain(language, kind) if self.chance(0.4) else language.clause(kind, NORMAL)
        speed = self.pick([SLOW, NORMAL, FAST])
        lists = self.lists[language.name]
        if speed != NORMAL:
            amount = self.pick(lists["little" if speed == SLOW else "much"])
            breaks = [", ", ", ", " ", " - ", "... "] if language.blank else ["，", "、", " ", "", "。"]
            parts = [clause, amount] if self.chance(0.85) else [amount, clause]
            clause = self.pick(breaks).join(parts)
        # Now and then after a camera that is denied: no zoom no pan, just petals, a ton.
        frame = self.pick(lists["steady"]) if self.chance(0.2) else "{m}"
        return frame.replace("{m}", mark(clause, kind)), {kind: speed}

    def contrast(self, language: Language) -> tuple[str, Labels]:
        """Two motions side by side, each with its own speed next to it: fast zoom, little snow."""
        vocabulary = language.vocabulary
        speeds = self.pick(
            [(SLOW, FAST), (FAST, SLOW), (SLOW, NORMAL), (NORMAL, SLOW), (FAST, NORMAL), (NORMAL, FAST)]
        )
        if self.chance(0.7):
            kinds = [self.pick(CAMERAS), self.pick(MOVING)]
        else:
            kinds = self.rng.sample([kind for kind in MOVING if kind in vocabulary.counted], 2)
        labels = dict(zip(kinds, speeds, strict=True))
        items = []
        for kind, speed in labels.items():
            if speed != NORMAL and kind in CAMERAS:
                text = vocabulary.degrees.camera(kind, speed)
            elif speed != NORMAL and kind in vocabulary.counted and self.chance(0.7):
                text = vocabulary.amount(kind, speed)
            else:
                text = language.clause(kind, speed)
            items.append(mark(language.filled(text.replace("{x}", "{subject}")), kind))
        self.rng.shuffle(items)
        return self.pick(self.lists[language.name]["too"]).join(items), labels

    def steady(self, language: Language) -> tuple[str, Labels]:
        """Something that moves before a camera that does not."""
        kind, speed = self.pick(MOVING), self.pick([SLOW, NORMAL, NORMAL, FAST])
        if speed == NORMAL and kind in language.vocabulary.counted and self.chance(0.5):
            clause = language.vocabulary.framed("{n}", self.thing(language, kind))
        else:
            clause = language.clause(kind, speed)
        frame = self.pick(self.lists[language.name]["steady"])
        return frame.replace("{m}", mark(clause, kind)), {kind: speed}

    def asks(self, language: Language) -> str:
        """What is asked for and is no motion of the model's."""
        return self.pick(self.lists[language.name]["asks"])

    def wished(self, text: str, language: Language) -> str:
        return self.pick(self.lists[language.name]["wish"]).replace("{m}", text)

    def tagged(self, text: str, words: list[str]) -> str:
        """With hashtags, which ask for nothing."""
        tags = []
        for _ in range(self.rng.choices((1, 2, 3, 5), (0.4, 0.3, 0.2, 0.1))[0]):
            x = self.rng.random()
            if x < 0.35:
                tags.append(self.pick(self.tags["whole"]))
            elif x < 0.75:
                tags.append(self.pick(self.tags["starts"]) + self.pick(self.tags["ends"]))
            else:
                tags.append("".join(self.pick(words) for _ in range(self.rng.randint(1, 2))))
        joined = " ".join("#" + tag for tag in tags)
        return f"{text} {joined}" if self.chance(0.9) else f"{joined} {text}"
