"""Captions and what they ask for, drawn from lexicon.py: `caption(rng)` → (text, {kind: class}).

Class 1 slow, 2 normal, 3 fast; kinds that are not named are absent, and a caption without any is {}. Motion phrases ×
speeds × sentence frames × things that must not move anything, with typos and nonsense, English and Chinese.
"""

import random
import string
from pathlib import Path

import lexicon as L

CAMERA_KINDS = list(L.CAMERA_VERBS)
OPPOSITE = {"zoom-in": "zoom-out", "pan-left": "pan-right", "tilt-up": "tilt-down", "rotate-cw": "rotate-ccw"}
OPPOSITE |= {b: a for a, b in OPPOSITE.items()}
SLOW, NORMAL, FAST = 1, 2, 3
FRAMES = [f for f in L.FRAMES if "{c}" in f] + [
    "{d}. {d}. {d}. {c}.",
    "{d}, {d}, {d}, {d}, {c}",
    "{c}, {d}, {d}, {d}, {d}",
    "{d}. {d}, {d}. {c}. {d}.",
    "{d} {c}, {d}",
    "{d} {c} {d}",
]
WORDS = (Path(__file__).with_name("words.txt")).read_text(encoding="utf-8").split()
SEPARATE = [
    " while ",
    " while ",
    ", while ",
    " and then ",
    " then ",
    ", then ",
    ", and ",
    ", ",
    ", ",
    ". ",
    "; ",
    " as ",
    " with ",
    " plus ",
    " combined with ",
    " along with ",
    " together with ",
    " and at the same time ",
    " and also ",
    ", also ",
    " meanwhile ",
    ", as ",
    " followed by ",
    " & ",
    " + ",
    " and ",
    " and ",
    " and ",
    " and simultaneously ",
    " before ",
    " after which ",
    "; then ",
    " - ",
    " / ",
    " whilst ",
    ", meanwhile ",
    " at the same time ",
]
DOUBLED = {
    "pan",
    "zoom crash",
    "step",
    "drop",
    "dip",
    "nod",
    "bob",
    "spin",
    "flap",
    "whip",
    "stir",
    "lap",
    "scan",
    "zip",
    "run",
    "whip pan",
    "cut",
    "hum",
}
IRREGULAR = {
    "come": "came",
    "go": "went",
    "get": "got",
    "draw": "drew",
    "fly": "flew",
    "creep": "crept",
    "swing": "swung",
    "sweep": "swept",
    "rise": "rose",
    "sink": "sank",
    "fall": "fell",
    "spin": "spun",
    "take": "took",
    "bring": "brought",
    "lead": "led",
    "shake": "shook",
    "bend": "bent",
    "blow": "blew",
    "break": "broke",
    "make": "made",
    "is": "was",
    "shoot": "shot",
    "withdraw": "withdrew",
    "show": "showed",
    "do": "did",
    "swell": "swelled",
    "run": "ran",
    "spread": "spread",
}


def third(verb):
    head, _, last = verb.rpartition(" ")
    if last in ("is", "it"):
        return verb
    if last in ("go", "do"):
        form = last + "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        form = last[:-1] + "ies"
    elif last.endswith(("s", "sh", "ch", "x", "z")):
        form = last + "es"
    else:
        form = last + "s"
    return f"{head} {form}".strip()


def ing(verb):
    head, _, last = verb.rpartition(" ")
    if last == "is":
        form = "being"
    elif last.endswith("ie"):
        form = last[:-2] + "ying"
    elif last.endswith("e") and not last.endswith(("ee", "oe", "ye")):
        form = last[:-1] + "ing"
    elif last in DOUBLED:
        form = last + last[-1] + "ing"
    elif last == "get":
        form = "getting"
    else:
        form = last + "ing"
    return f"{head} {form}".strip()


def past(verb):
    head, _, last = verb.rpartition(" ")
    if last in IRREGULAR:
        form = IRREGULAR[last]
    elif last.endswith("e"):
        form = last + "d"
    elif last.endswith("y") and last[-2] not in "aeiou":
        form = last[:-1] + "ied"
    elif last in DOUBLED:
        form = last + last[-1] + "ed"
    else:
        form = last + "ed"
    return f"{head} {form}".strip()


def joined(*parts):
    return " ".join(p for p in parts if p)


def article(text):
    """a → an where it belongs, mostly: people get it wrong too."""
    words = text.split(" ")
    for i in range(len(words) - 1):
        if words[i] == "a" and words[i + 1][:1] in "aeiou":
            words[i] = "an"
    return " ".join(words)


class Captions:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def pick(self, entries):
        return entries[int(self.r.random() * len(entries))]

    def chance(self, p):
        return self.r.random() < p

    # ------------------------------------------------------------ pieces
    def speed(self):
        return self.r.choices((SLOW, NORMAL, FAST), (0.34, 0.36, 0.30))[0]

    def adverb(self, speed):
        if speed == SLOW:
            return self.pick(L.SLOW_ADVERBS)
        if speed == FAST:
            return self.pick(L.FAST_ADVERBS)
        return self.pick(L.NEUTRAL_ADVERBS) if self.chance(0.22) else ""

    def adjective(self, speed):
        if speed == NORMAL:
            return self.pick(L.NEUTRAL_ADJECTIVES) if self.chance(0.25) else ""
        word = self.pick(L.SLOW_ADJECTIVES if speed == SLOW else L.FAST_ADJECTIVES)
        if self.chance(0.15):
            neutral = self.pick(L.NEUTRAL_ADJECTIVES)
            word = self.pick(
                [f"{word} {neutral}", f"{neutral} {word}", f"{neutral}, {word}", f"{word}, {neutral}"]
            )
        return word

    def subject(self):
        return self.pick(L.SUBJECTS)

    def target(self, kind):
        if self.chance(0.12):
            return self.pick(L.TIMES)
        if self.chance(0.1) and not kind.startswith("tilt"):
            return self.pick(L.NUMBERS)
        table = {
            "zoom-in": L.TARGETS_IN,
            "zoom-out": L.TARGETS_OUT,
            "rotate-cw": L.TARGETS_ROTATE,
            "rotate-ccw": L.TARGETS_ROTATE,
        }
        entries = table.get(kind, L.TARGETS_SIDE if kind.startswith("pan") else L.TARGETS_VERTICAL)
        text = self.pick(entries)
        while "{s}" in text:
            text = text.replace("{s}", self.subject(), 1)
        return text

    def place(self, adverb, verb, rest, extra=""):
        """Verb phrase with the adverb where people put it."""
        if not adverb:
            return joined(verb, rest, extra)
        early = (
            adverb.split(" ")[-1].endswith("ly")
            and not adverb.startswith(("at ", "in ", "with "))
            or adverb in ("just a bit", "slow", "quick", "fast")
        )
        x = self.r.random()
        if adverb in L.MIDDLE_AMOUNTS and rest and x < 0.5:
            return joined(verb, adverb, rest, extra)
        if self.chance(0.02):
            adverb = self.pick(
                [
                    f"{adverb}, {adverb}",
                    f"{adverb} {adverb}",
                    f"very {adverb}" if early and not adverb.startswith("very") else adverb,
                ]
            )
        if early and x < 0.42:
            return joined(adverb, verb, rest, extra)
        if early and x < 0.52 and rest:
            return joined(verb, adverb, rest, extra)
        if x < 0.8 or not extra:
            return (
                joined(verb, rest, adverb, extra) if self.chance(0.75) else joined(verb, rest, extra, adverb)
            )
        return joined(verb, rest, extra + self.pick([" ", " ", ", "]) + adverb)

    def inflect(self, verb, form):
        return {"base": verb, "third": third(verb), "ing": ing(verb), "past": past(verb)}[form]

    # ------------------------------------------------------------ one motion, English
    def clause(self, kind, speed):
        if kind == "static":
            return self.static()
        if kind == "waves":
            return self.water(speed)
        if kind == "sway":
            return self.wind(speed)
        x = self.r.random()
        if x < 0.34:
            noun = self.pick(L.CAMERA_NOUNS[kind])
            own = (
                FAST
                if noun.startswith(L.FAST_NOUN_WORDS)
                else SLOW
                if noun.startswith(L.SLOW_NOUN_WORDS)
                else None
            )
            if own and own != speed:
                return self.clause(kind, speed)
            return self.noun_clause(noun, NORMAL if own and self.chance(0.7) else speed, kind)
        if x < 0.40:
            return self.terse(kind, speed)
        if x < 0.50:
            return self.object_clause(kind, speed)
        verb, _, rest = self.pick(L.CAMERA_VERBS[kind]).partition("|")
        extra = (
            self.target(kind)
            if self.chance(0.3) and " to " not in rest and "reveal" not in rest and "show" not in rest
            else ""
        )
        adverb = self.adverb(speed)
        if verb in L.FAST_VERBS or verb in L.SLOW_VERBS:
            # The verb says how fast; an adverb may say it again.
            own = FAST if verb in L.FAST_VERBS else SLOW
            if speed != own:
                return self.clause(kind, speed)
            if self.chance(0.7):
                adverb = ""
        y = self.r.random()
        if y < 0.27:
            return self.place(adverb, verb, rest, extra)
        if y < 0.42:
            return self.request(self.place(adverb, verb, rest, extra))
        if y < 0.55:
            return self.place(adverb, ing(verb), rest, extra)
        camera = self.pick(L.CAMERAS)
        if y < 0.60:
            return joined(camera, self.place(adverb, past(verb), rest, extra))
        if y < 0.72:
            return joined(camera, self.place(adverb, ing(verb), rest, extra))
        if y < 0.78:
            return joined(
                camera,
                self.pick(["is", "is", "keeps", "starts", "begins", "should be", "will be", "are"]),
                self.place(adverb, ing(verb), rest, extra),
            )
        if y < 0.82 and adverb:
            return joined(adverb + self.pick([",", ""]), camera, third(verb), rest, extra)
        if y < 0.85:
            return joined(
                self.pick(["as", "while", "when"]), camera, self.place(adverb, third(verb), rest, extra)
            )
        form = "base" if camera in L.PLURAL_CAMERAS or self.chance(0.04) else "third"
        return joined(camera, self.place(adverb, self.inflect(verb, form), rest, extra))

    def terse(self, kind, speed):
        """camera up, to the left slowly, in, counterclockwise."""
        direction = self.pick(L.DIRECTIONS[kind])
        who = self.pick(
            [
                "camera",
                "camera",
                "the camera",
                "camera:",
                "shot",
                "view",
                "cam",
                "lens",
                "move",
                "go",
                "camera moves",
                "camera goes",
                "camera move",
                "motion",
                "motion:",
                "drone",
                "viewpoint",
                "pov",
                "direction:",
                "movement:",
                "camera motion:",
                "camera direction:",
            ]
        )
        if kind.startswith("rotate") and self.chance(0.4):
            who = ""
        return (
            self.place(self.adverb(speed), who, direction)
            if self.chance(0.5)
            else joined(self.adjective(speed), who, direction)
        )

    def request(self, phrase):
        return self.pick(L.REQUESTS if self.chance(0.7) else L.MORE_REQUESTS).replace("{v}", phrase)

    def noun_clause(self, noun, speed, kind=None):
        adjective = self.adjective(speed)
        late = ""
        if speed != NORMAL and self.chance(0.14):
            adjective, late = "", self.adverb(speed)
        if self.chance(0.04):
            noun = noun.replace(" ", self.pick(["-", "", "_"]))
        text = self.pick(L.NOUN_FRAMES if self.chance(0.75) else L.MORE_NOUN_FRAMES).replace(
            "{n}", joined(adjective, noun)
        )
        if kind and self.chance(0.08) and "{s}" not in text:
            text = joined(text, self.target(kind))
        return article(joined(text.replace("{s}", self.subject()), late))

    def object_clause(self, kind, speed):
        adverb = self.adverb(speed)
        if kind.startswith("rotate"):
            verb = self.pick(L.ROTATE_OBJECT_VERBS)
            thing, rest = self.pick(L.ROTATE_OBJECTS), self.pick(L.ROTATE_RESTS[kind])
            y = self.r.random()
            if y < 0.5:
                phrase = self.place(adverb, f"{verb} {thing}", rest)
                return phrase if self.chance(0.6) else self.request(phrase)
            if y < 0.65:
                return self.place(adverb, f"{ing(verb)} {thing}", rest)
            if thing == "everything" or self.chance(0.5):
                return joined(thing, self.place(adverb, third(verb), rest))
            return joined(self.pick(["make", "let", "have"]), thing, self.place(adverb, verb, rest))
        phrase = self.pick(L.CAMERA_OBJECT_VERBS[kind])
        verb, _, rest = phrase.partition(" ")
        if self.chance(0.15):
            verb = ing(verb)
        phrase = self.place(adverb, verb, rest)
        return self.request(phrase) if verb == phrase.split(" ")[0] and self.chance(0.25) else phrase

    def static(self):
        text = self.pick(L.STATIC)
        x = self.r.random()
        if x < 0.06:
            text = (
                self.pick(
                    ["please ", "just ", "simply ", "i want a ", "camera: ", "motion: ", "with a ", "the "]
                )
                + text
            )
        elif x < 0.1:
            text += self.pick(
                [
                    " please",
                    " throughout",
                    " the whole time",
                    " for the whole clip",
                    " all the time",
                    " at all times",
                    " from start to end",
                ]
            )
        return text

    def transitive(self, kind, speed):
        verb, _, rest = self.pick(L.TRANSITIVE[kind]).partition(" ")
        phrase = self.place(self.adverb(speed), verb if self.chance(0.85) else ing(verb), rest)
        return self.request(phrase) if phrase.startswith(verb) and self.chance(0.3) else phrase

    def water(self, speed):
        if self.chance(0.09):
            return self.transitive("waves", speed)
        x = self.r.random()
        if x < 0.42:
            noun = self.pick(L.WATER_NOUNS)
            adjective = self.adjective(speed)
            if speed == FAST and self.chance(0.3):
                adjective = self.pick(
                    [
                        "stormy",
                        "raging",
                        "rough",
                        "turbulent",
                        "wild",
                        "heavy",
                        "towering",
                        "powerful",
                        "strong",
                        "violent",
                        "choppy",
                        "furious",
                    ]
                )
            if speed == SLOW and self.chance(0.3):
                adjective = self.pick(
                    [
                        "calm",
                        "gentle",
                        "soft",
                        "mild",
                        "light",
                        "slow",
                        "small",
                        "tiny",
                        "subtle",
                        "lazy",
                        "quiet",
                    ]
                )
            text = joined(adjective, noun)
            if speed != NORMAL and self.chance(0.25):
                text = joined(noun, self.adverb(speed))
            if self.chance(0.35):
                text = self.pick(
                    [
                        "{n}",
                        "with {n}",
                        "add {n}",
                        "make {n}",
                        "show {n}",
                        "i want {n}",
                        "create {n}",
                        "animate {n}",
                        "there are {n}",
                        "some {n}",
                        "just {n}",
                        "{n} animation",
                        "{n} effect",
                        "{n} in the background",
                        "{n} in the foreground",
                        "{n} at the bottom",
                        "{n} around the boat",
                        "{n} near the shore",
                        "{n} on {s}",
                        "{n} behind {s}",
                        "a video of {n}",
                        "let there be {n}",
                        "only {n}",
                    ]
                ).replace("{n}", text)
            return text.replace("{s}", self.subject())
        thing = self.pick(L.WATER)
        verb, _, rest = self.pick(L.WATER_VERBS).partition("|")
        return self.thing_moves(thing, verb, rest, self.adverb(speed))

    def thing_moves(self, thing, verb, rest, adverb):
        y = self.r.random()
        plural = thing.split(" of ")[0].split(" on ")[0].split(" in ")[0].split(" behind ")[0].endswith(
            ("s", "ves")
        ) and not thing.endswith("grass")
        present = verb if plural or verb.startswith("it ") else third(verb)
        if " and " in verb:
            a, b = verb.split(" and ")
            ending = lambda f: f"{f(a)} and {f(b)}"
            present = verb if plural else ending(third)
            gerund, was = ending(ing), ending(past)
        else:
            gerund, was = ing(verb), past(verb)
        if y < 0.38:
            return joined(thing, self.place(adverb, present, rest))
        if y < 0.62:
            return joined(thing, self.place(adverb, gerund, rest))
        if y < 0.66:
            return joined(thing, "are" if plural else "is", self.place(adverb, gerund, rest))
        if y < 0.69:
            return joined(thing, self.place(adverb, was, rest))
        if y < 0.9:
            helper = self.pick(
                [
                    "make",
                    "make",
                    "let",
                    "have",
                    "please make",
                    "i want to see",
                    "i want",
                    "can you make",
                    "i'd like to see",
                    "show",
                    "could you make",
                    "just make",
                    "only let",
                    "we see",
                    "watch",
                ]
            )
            if helper in ("i want", "show", "have"):
                return joined(helper, thing, self.place(adverb, gerund, rest))
            return joined(helper, thing, self.place(adverb, verb, rest))
        if y < 0.95:
            return joined(
                self.pick(["with", "as", "while", "where"]), thing, self.place(adverb, gerund, rest)
            )
        bare = thing[4:] if thing.startswith("the ") else thing
        return joined(self.place(adverb, gerund, ""), bare)

    def wind(self, speed):
        if self.chance(0.09):
            return self.transitive("sway", speed)
        x = self.r.random()
        if x < 0.24:
            noun = self.pick(L.WIND_NOUNS)
            text = joined(self.adjective(speed), noun)
            if speed != NORMAL and self.chance(0.3):
                text = joined(noun, self.adverb(speed))
            if self.chance(0.35):
                text = self.pick(
                    [
                        "{n}",
                        "with {n}",
                        "with a {n}",
                        "add {n}",
                        "add a {n}",
                        "a {n}",
                        "make a {n}",
                        "show {n}",
                        "i want {n}",
                        "create {n}",
                        "there is {n}",
                        "there is a {n}",
                        "some {n}",
                        "just {n}",
                        "{n} animation",
                        "{n} effect",
                        "{n} in the background",
                        "in a {n}",
                        "in the {n}",
                        "only {n}",
                        "{n} of {s}",
                        "give it a {n}",
                        "apply {n}",
                    ]
                ).replace("{n}", text)
            return article(text.replace("{s}", self.subject()))
        if x < 0.36:
            who, _, rest = self.pick(L.WIND_SENTENCES).partition("|")
            subject, _, verb = who.rpartition(" ")
            if verb in ("get", "is"):
                return joined(subject, third(verb) if verb == "get" else "is", rest, self.adverb(speed))
            if speed != NORMAL and self.chance(0.4):
                word = self.pick(
                    ["gentle", "light", "soft", "mild", "slight", "faint", "subtle"]
                    if speed == SLOW
                    else [
                        "strong",
                        "fierce",
                        "violent",
                        "powerful",
                        "heavy",
                        "wild",
                        "furious",
                        "intense",
                        "stormy",
                    ]
                )
                subject = self.pick(["a ", "the ", ""]) + word + " " + subject.split(" ")[-1]
                return joined(subject, third(verb) if self.chance(0.6) else ing(verb), rest)
            form = self.pick(["third", "third", "ing", "past"])
            return joined(subject, self.place(self.adverb(speed), self.inflect(verb, form), rest))
        thing = self.pick(L.WIND_THINGS)
        verb, _, rest = self.pick(L.SWAY_VERBS).partition("|")
        adverb, tail = self.adverb(speed), ""
        if speed != NORMAL and self.chance(0.25):
            adverb, tail = "", self.pick(L.SLOW_WIND if speed == SLOW else L.FAST_WIND)
        elif self.chance(0.5) or verb.split(" ")[0] not in L.SWAY_SOLO:
            tail = self.pick(L.WIND_TAILS)
        if thing == "everything" and not tail:
            tail = self.pick(L.WIND_TAILS)
        return self.thing_moves(thing, verb, joined(rest, tail), adverb)

    # ------------------------------------------------------------ one motion, Chinese
    def clause_zh(self, kind, speed):
        adverb = {
            SLOW: lambda: self.pick(L.ZH_SLOW),
            FAST: lambda: self.pick(L.ZH_FAST),
            NORMAL: lambda: self.pick(L.ZH_NEUTRAL) if self.chance(0.2) else "",
        }[speed]()
        late = ""
        if speed != NORMAL and self.chance(0.16):
            adverb, late = (
                "",
                self.pick(["，", "", ",", " "])
                + self.pick(L.ZH_SLOW_TAIL if speed == SLOW else L.ZH_FAST_TAIL),
            )
        if kind == "static":
            return self.pick(L.ZH_STATIC)
        if kind == "waves":
            if self.chance(0.3):
                return adverb + self.pick(L.ZH_WATER_NOUNS) + late
            return (
                self.pick(["", "", "", "让", "使", "看到"])
                + self.pick(L.ZH_WATER)
                + adverb
                + self.pick(L.ZH_WATER_VERBS)
                + late
            )
        if kind == "sway":
            if self.chance(0.25):
                return adverb + self.pick(L.ZH_WIND_NOUNS) + late
            thing, verb = self.pick(L.ZH_WIND_THINGS), self.pick(L.ZH_SWAY_VERBS)
            if speed == SLOW and self.chance(0.2):
                return thing + self.pick(L.ZH_WIND_SLOW) + verb
            if speed == FAST and self.chance(0.25):
                return thing + self.pick(L.ZH_WIND_FAST) + verb
            prefix = self.pick(L.ZH_WIND_PREFIX)
            middle = prefix + adverb if self.chance(0.7) else adverb + prefix
            return self.pick(["", "", "", "让", "使", "看到"]) + thing + middle + verb + late
        verb = self.pick(L.ZH_VERBS[kind])
        camera = self.pick(L.ZH_CAMERA)
        x = self.r.random()
        if x < 0.62:
            text = camera + adverb + verb
        elif x < 0.7:
            text = adverb + verb + self.pick(["镜头", "画面", "一下", "一点", "效果", ""])
        elif x < 0.78:
            text = adverb + camera + verb
        elif x < 0.9:
            subject = self.pick(L.ZH_SUBJECTS)
            text = camera + {
                "zoom-in": self.pick(["对着", "向", "朝", "朝着", "往"]) + subject + adverb + verb,
                "zoom-out": "从" + subject + adverb + verb,
            }.get(kind, adverb + verb + self.pick(["，展示", "，露出", "到", "，扫过", "，看"]) + subject)
        else:
            text = (
                self.pick(["让", "把", "将", "使", "请把", "请将"])
                + self.pick(["镜头", "画面", "相机", "图片", "照片", "视角"])
                + adverb
                + verb
            )
        return text + late

    # ------------------------------------------------------------ several motions
    def combination(self, language):
        r = self.r
        count = 2 if self.chance(0.9) else 3
        kinds = r.sample([k for k in CAMERA_KINDS + ["waves", "sway"] if k != "static"], count)
        while any(OPPOSITE.get(k) in kinds for k in kinds) and self.chance(0.93):
            kinds = r.sample(CAMERA_KINDS + ["waves", "sway"], count)
        if self.chance(0.06):
            # A still camera with something that moves in the picture, mostly.
            kinds = [self.pick(["waves", "sway", "waves", "sway", self.pick(CAMERA_KINDS)]), "static"]
            local = kinds[0]
            if local in ("waves", "sway") and self.chance(0.75):
                return self.still_camera(local, language)
            r.shuffle(kinds)
        if language == "zh":
            return self.combination_zh(kinds)
        if self.chance(0.3):
            # One speed, named once for all.
            speed = self.speed()
            shared = self.shared(kinds, speed)
            if shared:
                return shared, {k: NORMAL if k == "static" else speed for k in kinds}
        speeds = [NORMAL if k == "static" else self.speed() for k in kinds]
        connector = self.pick(SEPARATE)
        if connector == " and " and len({*speeds} - {NORMAL}) == 1 and NORMAL in speeds:
            connector = self.pick(
                [" while ", " with ", ", then ", " then "]
            )  # "slowly a and b" would be read as both
        if count == 2 and self.chance(0.12):
            a, b = (self.clause(k, s) for k, s in zip(kinds, speeds))
            text = self.pick(
                [
                    "first {a}, then {b}",
                    "first {a} and then {b}",
                    "{a} first, then {b}",
                    "start with {a}, then {b}",
                    "{a} at first, {b} afterwards",
                    "begin: {a}; end: {b}",
                    "1. {a} 2. {b}",
                    "camera: {a}. scene: {b}",
                    "{a} (camera), {b} (scene)",
                    "both {a} and {b}",
                    "{a}, {b} at the same time",
                    "{a} and {b}, at once",
                    "not only {a} but also {b}",
                    "start: {a}, finish: {b}",
                    "{a}; background: {b}",
                    "two things: {a} and {b}",
                    "combine {a} with {b}",
                    "mix of {a} and {b}",
                    "{a} + {b}",
                ]
            )
            return text.format(a=a, b=b), dict(zip(kinds, speeds))
        text = self.clause(kinds[0], speeds[0])
        for kind, speed in zip(kinds[1:], speeds[1:]):
            text += connector + self.clause(kind, speed)
            connector = self.pick([", ", " and ", " then "]) if connector == ", " else self.pick(SEPARATE)
        return text, dict(zip(kinds, speeds))

    def still_camera(self, local, language):
        """The camera rests, something in the picture does not."""
        speed = self.speed()
        if language == "zh":
            still = self.pick(L.ZH_STATIC_CAMERA)
            only = speed == NORMAL and self.chance(0.5)
            moves = self.pick(L.ZH_ONLY_MOVES[local]) if only else self.clause_zh(local, speed)
            text = self.pick(
                ["{a}，{b}", "{a}，{b}", "{b}，{a}", "{a}，但{b}", "{a}，同时{b}", "{a}。{b}。", "{a} {b}"]
            )
            return text.format(a=still, b=moves), {"static": NORMAL, local: speed}
        still = self.pick(L.STATIC_CAMERA)
        only = speed == NORMAL and self.chance(0.5)
        moves = self.pick(L.ONLY_MOVES[local]) if only else self.clause(local, speed)
        text = self.pick(
            [
                "{a}, {b}",
                "{a}, {b}",
                "{b}, {a}",
                "{a}, but {b}",
                "{a} while {b}",
                "{a}; {b}",
                "{a}. {b}.",
                "{a} with {b}",
                "{b} but {a}",
                "{a} as {b}",
                "{a}, only {b}",
                "{a} and {b}",
                "{b}. {a}",
            ]
        )
        return text.format(a=still, b=moves), {"static": NORMAL, local: speed}

    def shared(self, kinds, speed):
        adverb = {SLOW: self.pick(L.SLOW_ADVERBS), FAST: self.pick(L.FAST_ADVERBS), NORMAL: ""}[speed]
        camera = [k for k in kinds if k in L.CAMERA_VERBS]
        x = self.r.random()
        if len(camera) == len(kinds) and x < 0.6 and speed != NORMAL:
            form = self.pick(["base", "base", "third", "ing"])
            parts = []
            for kind in kinds:
                verb, _, rest = self.pick(L.CAMERA_VERBS[kind]).partition("|")
                parts.append(joined(self.inflect(verb, form), rest))
            both = (
                ", ".join(parts[:-1])
                + self.pick([" and ", " and ", ", ", " & ", " and also ", " + "])
                + parts[-1]
            )
            early = adverb.split(" ")[-1].endswith("ly")
            both = (
                f"{adverb} {both}"
                if early and self.chance(0.6)
                else self.pick(
                    [
                        "{b} {a}",
                        "{b} {a}",
                        "{b}, {a}",
                        "{b}, both {a}",
                        "{b}, all {a}",
                        "{a}: {b}",
                        "{b} ({a})",
                        "{b} - {a}",
                    ]
                ).format(b=both, a=adverb)
            )
            if form == "base":
                return both if self.chance(0.6) else self.request(both)
            return both if form == "ing" and self.chance(0.5) else joined(self.pick(L.CAMERAS[:8]), both)
        if len(camera) == len(kinds) and x < 0.75 and speed != NORMAL:
            adjective = self.pick(L.SLOW_ADJECTIVES if speed == SLOW else L.FAST_ADJECTIVES)
            nouns = [self.pick(L.CAMERA_NOUNS[k]) for k in kinds]
            return article(
                self.pick(["a ", "", "", "with a "])
                + adjective
                + " "
                + self.pick([" and ", " and ", " + ", " & ", " plus "]).join(nouns)
            )
        tail = self.pick({SLOW: L.GLOBAL_SLOW, FAST: L.GLOBAL_FAST, NORMAL: L.GLOBAL_NEUTRAL}[speed])
        body = self.pick([", ", " and ", " while ", " with ", ", then ", ". "]).join(
            self.clause(k, NORMAL) for k in kinds
        )
        return self.pick(
            [
                "{b}, {t}",
                "{b}, {t}",
                "{b}. {t}",
                "{b}, {t}",
                "{t}: {b}",
                "{t}, {b}",
                "{b} ({t})",
                "{b} - {t}",
                "{b}; {t}",
                "{t}. {b}",
            ]
        ).format(b=body, t=tail)

    def combination_zh(self, kinds):
        if self.chance(0.3):
            speed = self.speed()
            connector = self.pick(["并", "并且", "同时", "，同时", "，", "和", "，并", "且"])
            body = connector.join(self.clause_zh(k, NORMAL) for k in kinds)
            labels = {k: NORMAL if k == "static" else speed for k in kinds}
            if speed == NORMAL:
                return body, labels
            camera = [k for k in kinds if k in L.CAMERA_VERBS]
            if len(camera) == len(kinds) and self.chance(0.6):
                body = self.pick(["并", "并", "并且", "和", "且", "同时", "、"]).join(
                    self.pick(L.ZH_VERBS[k]) for k in kinds
                )
                return self.pick(L.ZH_CAMERA) + self.pick(
                    L.ZH_SLOW if speed == SLOW else L.ZH_FAST
                ) + body, labels
            tail = self.pick(L.ZH_SLOW_TAIL if speed == SLOW else L.ZH_FAST_TAIL)
            return self.pick(
                [
                    "{b}，{t}",
                    "{b}，{t}",
                    "{b}。{t}",
                    "{t}：{b}",
                    "{t}，{b}",
                    "{b}，整体{t}",
                    "{b}，都{t}",
                    "{b}，速度{t}",
                ]
            ).format(b=body, t=tail), labels
        speeds = [NORMAL if k == "static" else self.speed() for k in kinds]
        if len(kinds) == 2 and self.chance(0.15):
            a, b = (self.clause_zh(k, s) for k, s in zip(kinds, speeds))
            return self.pick(
                [
                    "先{a}，再{b}",
                    "先{a}，然后{b}",
                    "先{a}后{b}",
                    "{a}之后{b}",
                    "首先{a}，接着{b}",
                    "一边{a}一边{b}",
                    "镜头：{a}；画面：{b}",
                    "既{a}又{b}",
                    "{a}的时候{b}",
                    "在{a}的过程中{b}",
                ]
            ).format(a=a, b=b), dict(zip(kinds, speeds))
        connector = self.pick(L.ZH_CONNECT)
        if connector in ("并", "和", "且", "并且") and len({*speeds} - {NORMAL}) == 1 and NORMAL in speeds:
            connector = "，同时"
        return connector.join(self.clause_zh(k, s) for k, s in zip(kinds, speeds)), dict(zip(kinds, speeds))

    # ------------------------------------------------------------ whole captions
    def there_and_back(self):
        a, b, text = self.pick(
            [
                ("zoom-in", "zoom-out", "zoom in and out"),
                ("zoom-in", "zoom-out", "zoom in and then zoom out"),
                ("zoom-in", "zoom-out", "zoom in then back out"),
                ("zoom-in", "zoom-out", "push in and pull back"),
                ("zoom-in", "zoom-out", "move closer and then move away"),
                ("pan-left", "pan-right", "pan left and right"),
                ("pan-left", "pan-right", "pan left then right"),
                ("pan-left", "pan-right", "pan to the left and then to the right"),
                ("pan-left", "pan-right", "move left and right"),
                ("pan-left", "pan-right", "pan right and then back to the left"),
                ("pan-left", "pan-right", "look left and right"),
                ("tilt-up", "tilt-down", "tilt up and down"),
                ("tilt-up", "tilt-down", "tilt up and then down"),
                ("tilt-up", "tilt-down", "move up and down"),
                ("tilt-up", "tilt-down", "look up and down"),
                ("rotate-cw", "rotate-ccw", "rotate clockwise and then counterclockwise"),
                ("rotate-cw", "rotate-ccw", "rotate back and forth"),
                ("zoom-in", "zoom-out", "镜头推近再拉远"),
                ("zoom-in", "zoom-out", "先放大再缩小"),
                ("pan-left", "pan-right", "镜头左右移动"),
                ("pan-left", "pan-right", "先向左再向右平移"),
                ("tilt-up", "tilt-down", "镜头上下移动"),
                ("tilt-up", "tilt-down", "先向上再向下"),
            ]
        )
        speed = self.speed()
        chinese = text[0] > "\u3000"
        if speed != NORMAL:
            if chinese:
                text = self.pick(L.ZH_SLOW if speed == SLOW else L.ZH_FAST) + text
            else:
                text = self.place(self.adverb(speed), text, "")
        return text, {a: speed, b: speed}

    def negated(self):
        """Do not zoom, just pan left: only what is not denied."""
        denied = self.pick(CAMERA_KINDS + ["waves", "sway"])
        if denied == "waves":
            phrase = self.pick(
                [
                    "the water should not move",
                    "no waves",
                    "without waves",
                    "no ripples",
                    "the water stays still",
                    "no water movement",
                    "without moving water",
                ]
            )
        elif denied == "sway":
            phrase = self.pick(
                [
                    "no wind",
                    "without wind",
                    "the leaves don't move",
                    "no swaying",
                    "without swaying",
                    "the trees stay still",
                    "no breeze",
                ]
            )
        else:
            verb, _, rest = self.pick(L.CAMERA_VERBS[denied]).partition("|")
            if self.chance(0.3):
                phrase = self.pick(
                    [
                        "no {n}",
                        "without a {n}",
                        "without any {n}",
                        "not a {n}",
                        "no {n} please",
                        "instead of a {n}",
                    ]
                ).replace("{n}", self.pick(L.CAMERA_NOUNS[denied]))
            else:
                phrase = (
                    self.pick(L.NEGATED)
                    .replace("{v}", joined(verb, rest))
                    .replace("{g}", joined(ing(verb), rest))
                )
        if self.chance(0.35) or phrase.startswith("instead"):
            if not phrase.startswith(("instead", "rather")):
                return phrase, {"static": NORMAL}
        kind = self.pick([k for k in CAMERA_KINDS + ["waves", "sway", "static"] if k != denied])
        speed = NORMAL if kind == "static" else self.speed()
        clause = self.clause(kind, speed)
        if phrase.startswith(("instead", "rather")) or self.chance(0.4):
            return clause + self.pick([", ", " but ", ", but ", " "]) + phrase, {kind: speed}
        return phrase + self.pick([", just ", ", ", " but ", ", only ", ", instead ", "; ", ". "]) + clause, {
            kind: speed
        }

    def negated_zh(self):
        denied = self.pick(CAMERA_KINDS)
        phrase = self.pick(L.ZH_NEGATED).replace("{v}", self.pick(L.ZH_VERBS[denied]))
        if self.chance(0.25):
            return phrase, {"static": NORMAL}
        kind = self.pick([k for k in CAMERA_KINDS + ["waves", "sway"] if k != denied])
        speed = self.speed()
        return phrase + self.pick(["，只要", "，只", "，", "，而是", "，改为", "，要"]) + self.clause_zh(
            kind, speed
        ), {kind: speed}

    def nonsense(self):
        syllables = [
            "".join(
                (
                    self.pick("bcdfghjklmnprstvwxz"),
                    self.pick("aeiou"),
                    self.pick(["", "", "n", "r", "s", "l", "t", "k"]),
                )
            )
            for _ in range(self.r.randint(1, 4))
        ]
        return "".join(syllables)

    def distractor(self):
        x = self.r.random()
        if x < 0.07:
            return joined(
                self.pick(L.MOVING_THINGS),
                self.pick(["", "", "is", "who is", "that is"]),
                self.pick(L.MOVING_DEEDS),
            )
        if x < 0.18:
            text = (
                self.pick(L.CONTAINING_FRAMES)
                .replace("{w2}", self.pick(L.CONTAINING))
                .replace("{w}", self.pick(L.CONTAINING))
                .replace("{s}", self.subject())
            )
            return article(text)
        if x < 0.23:
            return self.pick(L.DEPICTED).replace("{x}", self.pick(L.DEPICTABLE))
        if x < 0.48:
            return self.pick(L.DISTRACTORS)
        if x < 0.74:
            text = self.subject()
            y = self.r.random()
            if y < 0.3:
                text = joined(
                    text,
                    self.pick(
                        [
                            "in",
                            "on",
                            "near",
                            "with",
                            "under",
                            "behind",
                            "in front of",
                            "next to",
                            "by",
                            "inside",
                            "beside",
                            "against",
                        ]
                    ),
                    self.subject(),
                )
            elif y < 0.4:
                text = joined(
                    self.pick(
                        [
                            "beautiful",
                            "old",
                            "red",
                            "blue",
                            "golden",
                            "tiny",
                            "tall",
                            "ancient",
                            "modern",
                            "sleeping",
                            "young",
                            "happy",
                            "sad",
                            "dark",
                            "bright",
                            "wooden",
                            "lonely",
                            "cute",
                            "majestic",
                            "mysterious",
                            "rusty",
                            "white",
                            "black",
                            "colorful",
                            "giant",
                            "little",
                            "big",
                            "fast",
                            "strong",
                            "soft",
                            "quiet",
                            "wild",
                            "calm",
                            "gentle",
                            "quick",
                            "still",
                            "left",
                            "right",
                        ]
                    ),
                    text.removeprefix("a ").removeprefix("an ").removeprefix("the "),
                )
            elif y < 0.46:
                text = joined(
                    text,
                    self.pick(
                        [
                            "sitting",
                            "standing",
                            "smiling",
                            "sleeping",
                            "reading a book",
                            "eating",
                            "laughing",
                            "working",
                            "waiting",
                            "thinking",
                            "singing",
                            "playing",
                            "cooking",
                            "shining",
                            "glowing",
                            "in a hat",
                            "with glasses",
                            "wearing a suit",
                            "at work",
                            "at home",
                            "in the city",
                            "drinking coffee",
                            "lost in thought",
                        ]
                    ),
                )
            return text
        if x < 0.9:
            return " ".join(self.pick(WORDS) for _ in range(self.r.randint(1, 6)))
        return " ".join(self.nonsense() for _ in range(self.r.randint(1, 3)))

    def distractor_zh(self):
        x = self.r.random()
        if x < 0.08:
            return self.pick(L.ZH_DEPICTED).replace("{x}", self.pick(L.ZH_DEPICTABLE))
        if x < 0.5:
            return self.pick(L.ZH_DISTRACTORS)
        if x < 0.9:
            return self.pick(L.ZH_SUBJECTS) + (
                self.pick(["在", "和", "与", "旁的", "里的", "上的", "前的", "下的"])
                + self.pick(L.ZH_SUBJECTS)
                if self.chance(0.4)
                else ""
            )
        return "".join(self.pick(HAN) for _ in range(self.r.randint(1, 5)))

    def typo(self, text):
        words = text.split(" ")
        spots = [i for i, w in enumerate(words) if len(w) >= 4 and w.isascii() and w.isalpha()]
        if not spots:
            return text
        for i in self.r.sample(spots, min(len(spots), 1 if self.chance(0.7) else 2)):
            w = words[i]
            j = self.r.randint(1, len(w) - 2)
            kind = self.r.random()
            if kind < 0.3:
                w = w[:j] + w[j + 1] + w[j] + w[j + 2 :]
            elif kind < 0.6:
                w = w[:j] + w[j + 1 :]
            elif kind < 0.8:
                w = w[:j] + w[j] + w[j:]
            else:
                w = w[:j] + self.pick(string.ascii_lowercase) + w[j + 1 :]
            words[i] = w
        return " ".join(words)

    def caption(self):
        """(text, {kind: class})."""
        language = "zh" if self.chance(0.22) else "en"
        x = self.r.random()
        if x < 0.11:
            motion, labels = "", {}
        elif x < 0.12:
            motion, labels = (
                self.pick(
                    (L.GLOBAL_SLOW + L.GLOBAL_FAST) if language == "en" else (L.ZH_SLOW_TAIL + L.ZH_FAST_TAIL)
                ),
                {},
            )
        elif x < 0.145:
            motion, labels = self.there_and_back()
        elif x < 0.19:
            motion, labels = self.negated() if language == "en" else self.negated_zh()
        elif x < 0.48:
            motion, labels = self.combination(language)
        else:
            kind = self.pick(CAMERA_KINDS + ["waves", "sway", "waves", "sway", "static"])
            speed = NORMAL if kind == "static" else self.speed()
            tail = None
            if speed != NORMAL and language == "en" and self.chance(0.1):
                tail = self.pick(L.GLOBAL_SLOW if speed == SLOW else L.GLOBAL_FAST)
            motion = (
                self.clause_zh(kind, speed)
                if language == "zh"
                else self.clause(kind, NORMAL if tail else speed)
            )
            if tail:
                motion = self.pick(
                    ["{m}, {t}", "{m}. {t}", "{t}: {m}", "{t}, {m}", "{m} ({t})", "{m} - {t}"]
                ).format(m=motion, t=tail)
            labels = {kind: speed}
        if language == "zh":
            frame = (
                self.pick(L.ZH_FRAMES if self.chance(0.7) else L.ZH_MORE_FRAMES)
                if motion
                else self.pick(["{d}", "{d}，{d}", "{d}，{d}，{d}", "{d} {d}", "{d}、{d}", "{d}。"])
            )
            english = self.chance(0.06)
            text = frame.replace("{c}", motion)
            while "{d}" in text:
                text = text.replace("{d}", self.distractor() if english else self.distractor_zh(), 1)
            if self.chance(0.15):
                text = text.translate(TRADITIONAL)
            if self.chance(0.08):
                text = text.replace("，", self.pick([" ", ",", ", ", "、", ""]))
        else:
            frame = (
                self.pick(FRAMES)
                if motion
                else self.pick(
                    [
                        "{d}",
                        "{d}",
                        "{d}, {d}",
                        "{d}, {d}, {d}",
                        "{d} {d}",
                        "{d}.",
                        "{d}. {d}.",
                        "{d} - {d}",
                        "{d}!",
                    ]
                )
            )
            if self.chance(0.3) and motion:
                frame = "{c}"
            chinese = self.chance(0.02)
            text = frame.replace("{c}", motion)
            while "{d}" in text:
                text = text.replace("{d}", self.distractor_zh() if chinese else self.distractor(), 1)
            if self.chance(0.13):
                text = self.typo(text)
            if self.chance(0.03):
                text = text.replace(",", "").replace(".", "")
        return text, labels

    def generate(self, count):
        return [self.caption() for _ in range(count)]


# The common characters of GB 2312's first level, in its order.
HAN = "".join(bytes([a, b]).decode("gb2312", "ignore") for a in range(0xB0, 0xD8) for b in range(0xA1, 0xFF))
TRADITIONAL = str.maketrans(
    "镜头缓慢轻轻渐进远拉开后缩离从转动时针顺逆静止画面风摇摆浪涌动树叶随飘扬图像视角机场景来对显现变焦摄稳强烈剧猛飞极动让请与为个种这里边侧横扫体脸类无没定锁冻结间停荡涟漪滚翻水潮湖海滩岸气云阳见点让过还线东车长马鸟鱼龙书门问间话说语调乐红绿蓝蝴发丝旗裙丽飞轮转圆圈节轻柔细悬荡荡叶丛荫颤抖颜顶领头页项预题额风飒飓飘齐齿",
    "鏡頭緩慢輕輕漸進遠拉開後縮離從轉動時針順逆靜止畫面風搖擺浪湧動樹葉隨飄揚圖像視角機場景來對顯現變焦攝穩強烈劇猛飛極動讓請與為個種這裡邊側橫掃體臉類無沒定鎖凍結間停蕩漣漪滾翻水潮湖海灘岸氣雲陽見點讓過還線東車長馬鳥魚龍書門問間話說語調樂紅綠藍蝴髮絲旗裙麗飛輪轉圓圈節輕柔細懸蕩蕩葉叢蔭顫抖顏頂領頭頁項預題額風颯颶飄齊齒",
)
