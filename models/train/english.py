"""English captions: clauses that name one motion, ways to combine them, and sentences around them."""

import string
from collections.abc import Callable
from pathlib import Path

import lexicon
from draws import CAMERA_KINDS, FAST, LOCAL_KINDS, MOVING_KINDS, NORMAL, SLOW, Distracting, Draws, Labels
from inflection import base, ing, joined, past, third, with_an

# Words of every kind, for captions about anything.
WORDS = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()

# {c} is the clause with the motion, {d} a distractor.
FRAMES = [frame for frame in lexicon.FRAMES if "{c}" in frame] + lexicon.read_list("en/crowded_frames")
DISTRACTOR_FRAMES = lexicon.read_list("en/distractor_frames")
# Between clauses whose speeds differ, with the spaces around them.
CONNECTORS = [entry.removeprefix("{a}").removesuffix("{b}") for entry in lexicon.read_list("en/connectors")]
PAIRS = lexicon.read_list("en/pairs")
STILL_CAMERA_FRAMES = lexicon.read_list("en/still_camera_frames")
SHARED_ADVERB_FRAMES = lexicon.read_list("en/shared_adverb_frames")
SHARED_SPEED_FRAMES = lexicon.read_list("en/shared_speed_frames")
DIRECTION_STARTS = lexicon.read_list("en/direction_starts")
STATIC_ENDS = lexicon.read_list("en/static_ends")
HELPERS = lexicon.read_list("en/helpers")

WATER_FRAMES = lexicon.read_list("en/water_frames")
FAST_WATER_ADJECTIVES = lexicon.read_list("en/fast_water_adjectives")
SLOW_WATER_ADJECTIVES = lexicon.read_list("en/slow_water_adjectives")
NO_WAVES = lexicon.read_list("en/no_waves")
WIND_FRAMES = lexicon.read_list("en/wind_frames")
FAST_WIND_ADJECTIVES = lexicon.read_list("en/fast_wind_adjectives")
SLOW_WIND_ADJECTIVES = lexicon.read_list("en/slow_wind_adjectives")
NO_SWAY = lexicon.read_list("en/no_sway")

SUBJECT_ADJECTIVES = lexicon.read_list("en/subject_adjectives")
SUBJECT_DEEDS = lexicon.read_list("en/subject_deeds")
PLACES = lexicon.read_list("en/places")

# Adverbs that stand where those with -ly do.
EARLY_ADVERBS = ("just a bit", "slow", "quick", "fast")


def is_plural(thing: str) -> bool:
    """Whether the first noun of "leaves of the tree", "waves in the sea" is a plural."""
    first = thing.split(" of ")[0].split(" on ")[0].split(" in ")[0].split(" behind ")[0]
    return first.endswith("s") and not thing.endswith("grass")


class English(Draws):
    # Words --------------------------------------------------------------------------------------------------

    def adverb(self, speed: int) -> str:
        if speed == SLOW:
            return self.pick(lexicon.SLOW_ADVERBS)
        if speed == FAST:
            return self.pick(lexicon.FAST_ADVERBS)
        return self.pick(lexicon.NEUTRAL_ADVERBS) if self.chance(0.22) else ""

    def adjective(self, speed: int) -> str:
        if speed == NORMAL:
            return self.pick(lexicon.NEUTRAL_ADJECTIVES) if self.chance(0.25) else ""
        word = self.pick(lexicon.SLOW_ADJECTIVES if speed == SLOW else lexicon.FAST_ADJECTIVES)
        if self.chance(0.15):
            neutral = self.pick(lexicon.NEUTRAL_ADJECTIVES)
            word = self.pick(
                [f"{word} {neutral}", f"{neutral} {word}", f"{neutral}, {word}", f"{word}, {neutral}"]
            )
        return word

    def subject(self) -> str:
        return self.pick(lexicon.SUBJECTS)

    def with_subjects(self, text: str) -> str:
        """A new subject for every {s}."""
        while "{s}" in text:
            text = text.replace("{s}", self.subject(), 1)
        return text

    def target(self, kind: str) -> str:
        """What a camera motion goes towards, how far or how long."""
        if self.chance(0.12):
            return self.pick(lexicon.TIMES)
        if self.chance(0.1) and not kind.startswith("tilt"):
            return self.pick(lexicon.NUMBERS)
        if kind.startswith("rotate"):
            targets = lexicon.TARGETS_ROTATE
        elif kind.startswith("pan"):
            targets = lexicon.TARGETS_SIDE
        elif kind.startswith("tilt"):
            targets = lexicon.TARGETS_VERTICAL
        else:
            targets = lexicon.TARGETS_IN if kind == "zoom-in" else lexicon.TARGETS_OUT
        return self.with_subjects(self.pick(targets))

    def place(self, adverb: str, verb: str, rest: str, extra: str = "") -> str:
        """Verb phrase with the adverb where people put it."""
        if not adverb:
            return joined(verb, rest, extra)
        has_ly = adverb.split(" ")[-1].endswith("ly") and not adverb.startswith(("at ", "in ", "with "))
        early = has_ly or adverb in EARLY_ADVERBS
        x = self.rng.random()
        if adverb in lexicon.MIDDLE_AMOUNTS and rest and x < 0.5:
            return joined(verb, adverb, rest, extra)
        if self.chance(0.02):
            very = f"very {adverb}" if early and not adverb.startswith("very") else adverb
            adverb = self.pick([f"{adverb}, {adverb}", f"{adverb} {adverb}", very])
        if early and x < 0.42:
            return joined(adverb, verb, rest, extra)
        if early and x < 0.52 and rest:
            return joined(verb, adverb, rest, extra)
        if x < 0.8 or not extra:
            if self.chance(0.75):
                return joined(verb, rest, adverb, extra)
            return joined(verb, rest, extra, adverb)
        return joined(verb, rest, extra + self.pick([" ", " ", ", "]) + adverb)

    # One motion ---------------------------------------------------------------------------------------------

    def clause(self, kind: str, speed: int) -> str:
        """What asks for one motion at one speed."""
        if kind == "static":
            return self.static()
        if kind == "waves":
            return self.water(speed)
        if kind == "sway":
            return self.wind(speed)
        x = self.rng.random()
        if x < 0.34:
            return self.camera_noun(kind, speed)
        if x < 0.40:
            return self.direction(kind, speed)
        if x < 0.50:
            return (
                self.rotated_object(kind, speed)
                if kind.startswith("rotate")
                else self.moved_camera(kind, speed)
            )
        return self.camera_verb(kind, speed)

    def camera_noun(self, kind: str, speed: int) -> str:
        """A slow zoom in. A noun that names another speed is drawn again, clause and all."""
        noun = self.pick(lexicon.CAMERA_NOUNS[kind])
        own = None
        if noun.startswith(lexicon.FAST_NOUN_WORDS):
            own = FAST
        elif noun.startswith(lexicon.SLOW_NOUN_WORDS):
            own = SLOW
        if own and own != speed:
            return self.clause(kind, speed)
        named = NORMAL if own and self.chance(0.7) else speed

        adjective = self.adjective(named)
        late = ""
        if named != NORMAL and self.chance(0.14):
            adjective, late = "", self.adverb(named)
        if self.chance(0.04):
            noun = noun.replace(" ", self.pick(["-", "", "_"]))
        frame = self.pick(lexicon.NOUN_FRAMES if self.chance(0.75) else lexicon.MORE_NOUN_FRAMES)
        text = frame.replace("{n}", joined(adjective, noun))
        if self.chance(0.08) and "{s}" not in text:
            text = joined(text, self.target(kind))
        return with_an(joined(text.replace("{s}", self.subject()), late))

    def camera_verb(self, kind: str, speed: int) -> str:
        """The camera slowly zooms in. A verb that names another speed is drawn again, clause and all."""
        verb, _, rest = self.pick(lexicon.CAMERA_VERBS[kind]).partition("|")
        extra = ""
        if self.chance(0.3) and " to " not in rest and "reveal" not in rest and "show" not in rest:
            extra = self.target(kind)
        adverb = self.adverb(speed)
        if verb in lexicon.FAST_VERBS or verb in lexicon.SLOW_VERBS:
            own = FAST if verb in lexicon.FAST_VERBS else SLOW
            if speed != own:
                return self.clause(kind, speed)
            # The verb says how fast; an adverb may say it again.
            if self.chance(0.7):
                adverb = ""
        y = self.rng.random()
        if y < 0.27:
            return self.place(adverb, verb, rest, extra)
        if y < 0.42:
            return self.request(self.place(adverb, verb, rest, extra))
        if y < 0.55:
            return self.place(adverb, ing(verb), rest, extra)
        camera = self.pick(lexicon.CAMERAS)
        if y < 0.60:
            return joined(camera, self.place(adverb, past(verb), rest, extra))
        if y < 0.72:
            return joined(camera, self.place(adverb, ing(verb), rest, extra))
        if y < 0.78:
            helper = self.pick(["is", "is", "keeps", "starts", "begins", "should be", "will be", "are"])
            return joined(camera, helper, self.place(adverb, ing(verb), rest, extra))
        if y < 0.82 and adverb:
            return joined(adverb + self.pick([",", ""]), camera, third(verb), rest, extra)
        if y < 0.85:
            start = self.pick(["as", "while", "when"])
            return joined(start, camera, self.place(adverb, third(verb), rest, extra))
        form = base if camera in lexicon.PLURAL_CAMERAS or self.chance(0.04) else third
        return joined(camera, self.place(adverb, form(verb), rest, extra))

    def direction(self, kind: str, speed: int) -> str:
        """Camera up, to the left slowly, in, counterclockwise."""
        direction = self.pick(lexicon.DIRECTIONS[kind])
        start = self.pick(DIRECTION_STARTS)
        if kind.startswith("rotate") and self.chance(0.4):
            start = ""
        if self.chance(0.5):
            return self.place(self.adverb(speed), start, direction)
        return joined(self.adjective(speed), start, direction)

    def request(self, phrase: str) -> str:
        return self.pick(lexicon.REQUESTS if self.chance(0.7) else lexicon.MORE_REQUESTS).replace(
            "{v}", phrase
        )

    def rotated_object(self, kind: str, speed: int) -> str:
        """Turn the picture clockwise."""
        adverb = self.adverb(speed)
        verb = self.pick(lexicon.ROTATE_OBJECT_VERBS)
        thing, rest = self.pick(lexicon.ROTATE_OBJECTS), self.pick(lexicon.ROTATE_RESTS[kind])
        y = self.rng.random()
        if y < 0.5:
            phrase = self.place(adverb, f"{verb} {thing}", rest)
            return phrase if self.chance(0.6) else self.request(phrase)
        if y < 0.65:
            return self.place(adverb, f"{ing(verb)} {thing}", rest)
        if thing == "everything" or self.chance(0.5):
            return joined(thing, self.place(adverb, third(verb), rest))
        return joined(self.pick(["make", "let", "have"]), thing, self.place(adverb, verb, rest))

    def moved_camera(self, kind: str, speed: int) -> str:
        """Move the camera closer."""
        adverb = self.adverb(speed)
        verb, _, rest = self.pick(lexicon.CAMERA_OBJECT_VERBS[kind]).partition(" ")
        if self.chance(0.15):
            verb = ing(verb)
        phrase = self.place(adverb, verb, rest)
        return self.request(phrase) if verb == phrase.split(" ")[0] and self.chance(0.25) else phrase

    def static(self) -> str:
        text = self.pick(lexicon.STATIC)
        x = self.rng.random()
        if x < 0.06:
            starts = ["please", "just", "simply", "i want a", "camera:", "motion:", "with a", "the"]
            return f"{self.pick(starts)} {text}"
        if x < 0.1:
            return f"{text} {self.pick(STATIC_ENDS)}"
        return text

    def transitive(self, kind: str, speed: int) -> str:
        """Ripple the water."""
        verb, _, rest = self.pick(lexicon.TRANSITIVE[kind]).partition(" ")
        phrase = self.place(self.adverb(speed), verb if self.chance(0.85) else ing(verb), rest)
        return self.request(phrase) if phrase.startswith(verb) and self.chance(0.3) else phrase

    def water(self, speed: int) -> str:
        if self.chance(0.09):
            return self.transitive("waves", speed)
        if self.rng.random() < 0.42:
            noun = self.pick(lexicon.WATER_NOUNS)
            adjective = self.adjective(speed)
            if speed == FAST and self.chance(0.3):
                adjective = self.pick(FAST_WATER_ADJECTIVES)
            if speed == SLOW and self.chance(0.3):
                adjective = self.pick(SLOW_WATER_ADJECTIVES)
            text = joined(adjective, noun)
            if speed != NORMAL and self.chance(0.25):
                text = joined(noun, self.adverb(speed))
            if self.chance(0.35):
                text = self.pick(WATER_FRAMES).replace("{n}", text)
            return text.replace("{s}", self.subject())
        thing = self.pick(lexicon.WATER)
        verb, _, rest = self.pick(lexicon.WATER_VERBS).partition("|")
        return self.thing_moves(thing, verb, rest, self.adverb(speed))

    def wind(self, speed: int) -> str:
        if self.chance(0.09):
            return self.transitive("sway", speed)
        x = self.rng.random()
        if x < 0.24:
            noun = self.pick(lexicon.WIND_NOUNS)
            text = joined(self.adjective(speed), noun)
            if speed != NORMAL and self.chance(0.3):
                text = joined(noun, self.adverb(speed))
            if self.chance(0.35):
                text = self.pick(WIND_FRAMES).replace("{n}", text)
            return with_an(text.replace("{s}", self.subject()))
        if x < 0.36:
            return self.wind_blows(speed)
        thing = self.pick(lexicon.WIND_THINGS)
        verb, _, rest = self.pick(lexicon.SWAY_VERBS).partition("|")
        adverb, tail = self.adverb(speed), ""
        if speed != NORMAL and self.chance(0.25):
            adverb, tail = "", self.pick(lexicon.SLOW_WIND if speed == SLOW else lexicon.FAST_WIND)
        elif self.chance(0.5) or verb.split(" ")[0] not in lexicon.SWAY_SOLO:
            tail = self.pick(lexicon.WIND_TAILS)
        if thing == "everything" and not tail:
            tail = self.pick(lexicon.WIND_TAILS)
        return self.thing_moves(thing, verb, joined(rest, tail), adverb)

    def wind_blows(self, speed: int) -> str:
        """The wind itself is the subject: a breeze moves her hair."""
        who, _, rest = self.pick(lexicon.WIND_SENTENCES).partition("|")
        subject, _, verb = who.rpartition(" ")
        if verb in ("get", "is"):
            return joined(subject, third(verb) if verb == "get" else "is", rest, self.adverb(speed))
        if speed != NORMAL and self.chance(0.4):
            word = self.pick(SLOW_WIND_ADJECTIVES if speed == SLOW else FAST_WIND_ADJECTIVES)
            subject = self.pick(["a ", "the ", ""]) + word + " " + subject.split(" ")[-1]
            return joined(subject, third(verb) if self.chance(0.6) else ing(verb), rest)
        form = self.pick([third, third, ing, past])
        return joined(subject, self.place(self.adverb(speed), form(verb), rest))

    def thing_moves(self, thing: str, verb: str, rest: str, adverb: str) -> str:
        """The waves roll slowly; make the leaves sway."""

        def inflected(form: Callable[[str], str]) -> str:
            return " and ".join(form(part) for part in verb.split(" and "))

        y = self.rng.random()
        plural = is_plural(thing)
        present = verb if plural or verb.startswith("it ") else inflected(third)
        if y < 0.38:
            return joined(thing, self.place(adverb, present, rest))
        gerund = inflected(ing)
        if y < 0.62:
            return joined(thing, self.place(adverb, gerund, rest))
        if y < 0.66:
            return joined(thing, "are" if plural else "is", self.place(adverb, gerund, rest))
        if y < 0.69:
            return joined(thing, self.place(adverb, inflected(past), rest))
        if y < 0.9:
            helper = self.pick(HELPERS)
            wants_gerund = helper in ("i want", "show", "have")
            return joined(helper, thing, self.place(adverb, gerund if wants_gerund else verb, rest))
        if y < 0.95:
            start = self.pick(["with", "as", "while", "where"])
            return joined(start, thing, self.place(adverb, gerund, rest))
        return joined(self.place(adverb, gerund, ""), thing.removeprefix("the "))

    # Several motions ----------------------------------------------------------------------------------------

    def combination(self, kinds: list[str], may_pair: bool) -> tuple[str, Labels]:
        """Clauses in a row, each with its speed or all with one. `may_pair` allows the frames for two."""
        if self.chance(0.3):
            speed = self.speed()
            text = self.shared_speed(kinds, speed)
            return text, {kind: NORMAL if kind == "static" else speed for kind in kinds}
        speeds = [self.speed_of(kind) for kind in kinds]
        labels = dict(zip(kinds, speeds, strict=True))
        connector = self.pick(CONNECTORS)
        if connector == " and " and len({*speeds} - {NORMAL}) == 1 and NORMAL in speeds:
            # "slowly a and b" would be read as both.
            connector = self.pick([" while ", " with ", ", then ", " then "])
        if may_pair and self.chance(0.12):
            a, b = (self.clause(kind, speed) for kind, speed in labels.items())
            return self.pick(PAIRS).format(a=a, b=b), labels
        text = self.clause(kinds[0], speeds[0])
        for kind, speed in zip(kinds[1:], speeds[1:], strict=True):
            text += connector + self.clause(kind, speed)
            connector = self.pick([", ", " and ", " then "] if connector == ", " else CONNECTORS)
        return text, labels

    def shared_speed(self, kinds: list[str], speed: int) -> str:
        """Several motions with one speed, named once for all."""
        slow, fast = self.pick(lexicon.SLOW_ADVERBS), self.pick(lexicon.FAST_ADVERBS)
        only_camera = all(kind in CAMERA_KINDS for kind in kinds)
        x = self.rng.random()
        if only_camera and speed != NORMAL and x < 0.6:
            return self.shared_adverb(kinds, slow if speed == SLOW else fast)
        if only_camera and speed != NORMAL and x < 0.75:
            adjective = self.pick(lexicon.SLOW_ADJECTIVES if speed == SLOW else lexicon.FAST_ADJECTIVES)
            nouns = [self.pick(lexicon.CAMERA_NOUNS[kind]) for kind in kinds]
            start = self.pick(["a ", "", "", "with a "])
            return with_an(
                start + adjective + " " + self.pick([" and ", " and ", " + ", " & ", " plus "]).join(nouns)
            )
        tails = {SLOW: lexicon.GLOBAL_SLOW, FAST: lexicon.GLOBAL_FAST, NORMAL: lexicon.GLOBAL_NEUTRAL}
        tail = self.pick(tails[speed])
        connector = self.pick([", ", " and ", " while ", " with ", ", then ", ". "])
        body = connector.join(self.clause(kind, NORMAL) for kind in kinds)
        return self.pick(SHARED_SPEED_FRAMES).format(b=body, t=tail)

    def shared_adverb(self, kinds: list[str], adverb: str) -> str:
        """Slowly zoom in and pan left."""
        form = self.pick([base, base, third, ing])
        parts = []
        for kind in kinds:
            verb, _, rest = self.pick(lexicon.CAMERA_VERBS[kind]).partition("|")
            parts.append(joined(form(verb), rest))
        last = self.pick([" and ", " and ", ", ", " & ", " and also ", " + "]) + parts[-1]
        both = ", ".join(parts[:-1]) + last
        if adverb.split(" ")[-1].endswith("ly") and self.chance(0.6):
            both = f"{adverb} {both}"
        else:
            both = self.pick(SHARED_ADVERB_FRAMES).format(b=both, a=adverb)
        if form is base:
            return both if self.chance(0.6) else self.request(both)
        return both if form is ing and self.chance(0.5) else joined(self.pick(lexicon.CAMERAS[:8]), both)

    def still_camera(self, local: str, speed: int) -> str:
        """The camera rests, waves or sway (`local`) do not."""
        still = self.pick(lexicon.STATIC_CAMERA)
        only = speed == NORMAL and self.chance(0.5)
        moves = self.pick(lexicon.ONLY_MOVES[local]) if only else self.clause(local, speed)
        return self.pick(STILL_CAMERA_FRAMES).format(a=still, b=moves)

    def negated(self) -> tuple[str, Labels]:
        """Do not zoom, just pan left: only what is not denied."""
        denied = self.pick(MOVING_KINDS)
        phrase = self.denial(denied)
        is_aside = phrase.startswith(("instead", "rather"))
        if (self.chance(0.35) or phrase.startswith("instead")) and not is_aside:
            return phrase, {"static": NORMAL}
        kind = self.pick([kind for kind in [*MOVING_KINDS, "static"] if kind != denied])
        speed = self.speed_of(kind)
        clause = self.clause(kind, speed)
        if is_aside or self.chance(0.4):
            return clause + self.pick([", ", " but ", ", but ", " "]) + phrase, {kind: speed}
        connector = self.pick([", just ", ", ", " but ", ", only ", ", instead ", "; ", ". "])
        return phrase + connector + clause, {kind: speed}

    def denial(self, kind: str) -> str:
        if kind in LOCAL_KINDS:
            return self.pick(NO_WAVES if kind == "waves" else NO_SWAY)
        verb, _, rest = self.pick(lexicon.CAMERA_VERBS[kind]).partition("|")
        if self.chance(0.3):
            frame = self.pick(
                [
                    "no {n}",
                    "without a {n}",
                    "without any {n}",
                    "not a {n}",
                    "no {n} please",
                    "instead of a {n}",
                ]
            )
            return frame.replace("{n}", self.pick(lexicon.CAMERA_NOUNS[kind]))
        phrase = self.pick(lexicon.NEGATED).replace("{v}", joined(verb, rest))
        return phrase.replace("{g}", joined(ing(verb), rest))

    # Around the motion --------------------------------------------------------------------------------------

    def with_speed(self, speed: int, text: str) -> str:
        return self.place(self.adverb(speed), text, "")

    def sentence(self, motion: str, foreign: Distracting) -> str:
        """`motion`, which may be empty, among distractors; now and then they are of the foreign language."""
        frame = self.pick(FRAMES if motion else DISTRACTOR_FRAMES)
        if self.chance(0.3) and motion:
            frame = "{c}"
        language: Distracting = foreign if self.chance(0.02) else self
        text = frame.replace("{c}", motion)
        while "{d}" in text:
            text = text.replace("{d}", language.distractor(), 1)
        if self.chance(0.13):
            text = self.typo(text)
        if self.chance(0.03):
            text = text.replace(",", "").replace(".", "")
        return text

    def distractor(self) -> str:
        """What people say about a picture, that asks for no motion."""
        x = self.rng.random()
        if x < 0.07:
            link = ["", "", "is", "who is", "that is"]
            return joined(self.pick(lexicon.MOVING_THINGS), self.pick(link), self.pick(lexicon.MOVING_DEEDS))
        if x < 0.18:
            text = self.pick(lexicon.CONTAINING_FRAMES).replace("{w2}", self.pick(lexicon.CONTAINING))
            text = text.replace("{w}", self.pick(lexicon.CONTAINING))
            return with_an(text.replace("{s}", self.subject()))
        if x < 0.23:
            return self.pick(lexicon.DEPICTED).replace("{x}", self.pick(lexicon.DEPICTABLE))
        if x < 0.48:
            return self.pick(lexicon.DISTRACTORS)
        if x < 0.74:
            return self.described_subject()
        if x < 0.9:
            return " ".join(self.pick(WORDS) for _ in range(self.rng.randint(1, 6)))
        return " ".join(self.nonsense() for _ in range(self.rng.randint(1, 3)))

    def described_subject(self) -> str:
        text = self.subject()
        y = self.rng.random()
        if y < 0.3:
            return joined(text, self.pick(PLACES), self.subject())
        if y < 0.4:
            bare = text.removeprefix("a ").removeprefix("an ").removeprefix("the ")
            return joined(self.pick(SUBJECT_ADJECTIVES), bare)
        if y < 0.46:
            return joined(text, self.pick(SUBJECT_DEEDS))
        return text

    def nonsense(self) -> str:
        """One to four syllables that are no word."""
        return "".join(
            self.pick("bcdfghjklmnprstvwxz")
            + self.pick("aeiou")
            + self.pick(["", "", "n", "r", "s", "l", "t", "k"])
            for _ in range(self.rng.randint(1, 4))
        )

    def typo(self, text: str) -> str:
        """One or two longer words with two letters exchanged, one left out, doubled or wrong."""
        words = text.split(" ")
        spots = [i for i, word in enumerate(words) if len(word) >= 4 and word.isascii() and word.isalpha()]
        if not spots:
            return text
        for i in self.rng.sample(spots, min(len(spots), 1 if self.chance(0.7) else 2)):
            word = words[i]
            j = self.rng.randint(1, len(word) - 2)
            kind = self.rng.random()
            if kind < 0.3:
                words[i] = word[:j] + word[j + 1] + word[j] + word[j + 2 :]
            elif kind < 0.6:
                words[i] = word[:j] + word[j + 1 :]
            elif kind < 0.8:
                words[i] = word[:j] + word[j] + word[j:]
            else:
                words[i] = word[:j] + self.pick(string.ascii_lowercase) + word[j + 1 :]
        return " ".join(words)
