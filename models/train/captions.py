"""Captions and what they ask for: `Captions(seed).caption()` -> (text, {kind: speed}).

A caption puts phrases for motions and speeds among words that ask for no motion, with typos and nonsense, in
English or Chinese (english.py, chinese.py; their words are lexicon.py's). Speeds are 1 slow, 2 normal, 3
fast. Kinds that a caption does not name are absent from its labels; a caption without a motion has none. The
draws must stay as they are: the model that ships was trained with these captions.
"""

import random

import lexicon
from chinese import Chinese
from draws import CAMERA_KINDS, LOCAL_KINDS, MOVING_KINDS, NORMAL, SLOW, Draws, Labels
from english import English

OPPOSITES = [
    {"zoom-in", "zoom-out"},
    {"pan-left", "pan-right"},
    {"tilt-up", "tilt-down"},
    {"rotate-cw", "rotate-ccw"},
]
# The kinds of a motion and its way back, and the words for both.
THERE_AND_BACK = [entry.split("|") for entry in lexicon.read_list("there_and_back")]


class Captions(Draws):
    def __init__(self, seed: int) -> None:
        super().__init__(random.Random(seed))
        self.english, self.chinese = English(self.rng), Chinese(self.rng)

    def generate(self, count: int) -> list[tuple[str, Labels]]:
        return [self.caption() for _ in range(count)]

    def caption(self) -> tuple[str, Labels]:
        """A text and the speed of every kind of motion that it asks for."""
        if self.chance(0.22):
            motion, labels = self.motion(self.chinese)
            return self.chinese.sentence(motion, self.english), labels
        motion, labels = self.motion(self.english)
        return self.english.sentence(motion, self.chinese), labels

    def motion(self, language: English | Chinese) -> tuple[str, Labels]:
        """A phrase, and what it asks for; the phrase is empty for captions of distractors alone."""
        x = self.rng.random()
        if x < 0.11:
            return "", {}
        if x < 0.12:
            # A speed without a motion.
            if isinstance(language, English):
                return self.pick(lexicon.GLOBAL_SLOW + lexicon.GLOBAL_FAST), {}
            return self.pick(lexicon.ZH_SLOW_TAIL + lexicon.ZH_FAST_TAIL), {}
        if x < 0.145:
            return self.there_and_back()
        if x < 0.19:
            return language.negated()
        if x < 0.48:
            return self.combination(language)
        kind = self.pick([*MOVING_KINDS, *LOCAL_KINDS, "static"])
        speed = self.speed_of(kind)
        return self.single(language, kind, speed), {kind: speed}

    def single(self, language: English | Chinese, kind: str, speed: int) -> str:
        if not isinstance(language, English) or speed == NORMAL or not self.chance(0.1):
            return language.clause(kind, speed)
        tail = self.pick(lexicon.GLOBAL_SLOW if speed == SLOW else lexicon.GLOBAL_FAST)
        motion = language.clause(kind, NORMAL)
        frame = self.pick(["{m}, {t}", "{m}. {t}", "{t}: {m}", "{t}, {m}", "{m} ({t})", "{m} - {t}"])
        return frame.format(m=motion, t=tail)

    def there_and_back(self) -> tuple[str, Labels]:
        """Zoom in and out: both kinds, with one speed."""
        there, back, text = self.pick(THERE_AND_BACK)
        speed = self.speed()
        if speed != NORMAL:
            language = self.chinese if text[0] > "\u3000" else self.english
            text = language.with_speed(speed, text)
        return text, {there: speed, back: speed}

    def combination(self, language: English | Chinese) -> tuple[str, Labels]:
        """Two or three kinds; opposites are together less often than by chance."""
        count = 2 if self.chance(0.9) else 3
        kinds = self.rng.sample(MOVING_KINDS, count)
        while any(pair <= set(kinds) for pair in OPPOSITES) and self.chance(0.93):
            kinds = self.rng.sample(MOVING_KINDS, count)
        if self.chance(0.06):
            # A still camera with something that moves in the picture, mostly.
            moving = self.pick([*LOCAL_KINDS, *LOCAL_KINDS, self.pick(CAMERA_KINDS)])
            if moving in LOCAL_KINDS and self.chance(0.75):
                speed = self.speed()
                return language.still_camera(moving, speed), {"static": NORMAL, moving: speed}
            kinds = [moving, "static"]
            self.rng.shuffle(kinds)
        if isinstance(language, Chinese):
            return language.combination(kinds)
        return language.combination(kinds, may_pair=count == 2)
