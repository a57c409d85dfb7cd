"""The words that captions are made of: motions, speeds, subjects and distractors, English and Chinese.

A list is a file in wordlists/ with an entry per line, a table a folder with a list per kind of motion. An
entry that stands in a list several times is drawn as much more often, and the order decides what a seed
draws. A verb entry is "base|rest": the base is inflected ("zoom|in" becomes zooms in, zooming in, zoomed in).
{s} stands for a subject, {c} for a clause that names a motion, {v} for a verb phrase, {g} for its gerund, {n}
for a noun, {d} for a distractor.
"""

from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).with_name("wordlists")


def read_list(name: str) -> list[str]:
    """The entries of wordlists/NAME.txt."""
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def read_table(name: str) -> dict[str, list[str]]:
    """Kind of motion -> the entries of wordlists/NAME/KIND.txt, for the kinds that have a file; unordered."""
    return {path.stem: read_list(f"{name}/{path.stem}") for path in sorted((FOLDER / name).glob("*.txt"))}


def mirrored(entries: Iterable[str], pairs: list[tuple[str, str]]) -> list[str]:
    """The entries with the two words of every pair exchanged; a word comes before those that it contains."""
    swapped = []
    for entry in entries:
        for i, (a, b) in enumerate(pairs):
            entry = entry.replace(a, f"<{i}a>").replace(b, f"<{i}b>")
        for i, (a, b) in enumerate(pairs):
            entry = entry.replace(f"<{i}a>", b).replace(f"<{i}b>", a)
        swapped.append(entry)
    return swapped


def read_camera_table(name: str) -> dict[str, list[str]]:
    """A table whose lists for pan-right are those for pan-left, mirrored."""
    table = read_table(name)
    pairs = [("左", "右")] if name.startswith("zh/") else MIRROR_WORDS
    return {**table, "pan-right": mirrored(table["pan-left"], pairs)}


MIRROR_WORDS = [("leftwards", "rightwards"), ("leftward", "rightward"), ("left", "right")]

# Camera motions. Verbs: "<camera> <verb>s <rest>"; nouns: "a <speed> <noun>".
CAMERA_VERBS = read_camera_table("en/camera_verbs")
CAMERA_NOUNS = read_camera_table("en/camera_nouns")
# "<verb> the <picture> <rest>" turns the picture, not a camera.
ROTATE_OBJECT_VERBS = read_list("en/rotate_object_verbs")
ROTATE_OBJECTS = read_list("en/rotate_objects")
ROTATE_RESTS = read_table("en/rotate_rests")
# "move the camera <rest>"
CAMERA_OBJECT_VERBS = read_camera_table("en/camera_object_verbs")
# A direction alone, after "camera".
DIRECTIONS = read_camera_table("en/directions")

# Motions of what is in the picture.
WATER = read_list("en/water")
WATER_VERBS = read_list("en/water_verbs")
WATER_NOUNS = read_list("en/water_nouns")
WIND_THINGS = read_list("en/wind_things")
SWAY_VERBS = read_list("en/sway_verbs")
# Verbs that say sway without naming the wind.
SWAY_SOLO = set(read_list("en/sway_solo"))
WIND_TAILS = read_list("en/wind_tails")
SLOW_WIND = read_list("en/slow_wind")
FAST_WIND = read_list("en/fast_wind")
WIND_NOUNS = read_list("en/wind_nouns")
WIND_SENTENCES = read_list("en/wind_sentences")
TRANSITIVE = read_table("en/transitive")

# Nothing moves, or not the camera.
STATIC = read_list("en/static")
STATIC_CAMERA = read_list("en/static_camera")
ONLY_MOVES = read_table("en/only_moves")
NEGATED = read_list("en/negated")

# Speeds.
SLOW_ADVERBS = read_list("en/slow_adverbs")
FAST_ADVERBS = read_list("en/fast_adverbs")
SLOW_ADJECTIVES = read_list("en/slow_adjectives")
FAST_ADJECTIVES = read_list("en/fast_adjectives")
NEUTRAL_ADVERBS = read_list("en/neutral_adverbs")
NEUTRAL_ADJECTIVES = read_list("en/neutral_adjectives")
GLOBAL_SLOW = read_list("en/global_slow")
GLOBAL_FAST = read_list("en/global_fast")
GLOBAL_NEUTRAL = read_list("en/global_neutral")
# Speeds that are in the verb itself: no adverb needed.
FAST_VERBS = {
    *("speed", "whip", "whip pan", "crash zoom", "snap zoom", "race", "rush", "zip", "dart", "charge"),
    *("shoot", "dash", "hurtle"),
}
SLOW_VERBS = {"creep", "crawl", "inch"}
FAST_NOUN_WORDS = ("whip", "swish", "crash", "snap")
SLOW_NOUN_WORDS = ("creep", "crawl")
# Between verb and direction: "pan a little left".
MIDDLE_AMOUNTS = set(read_list("en/middle_amounts"))
NUMBERS = read_list("en/numbers")
TIMES = read_list("en/times")

# Who moves, what towards, and sentences around the motion.
CAMERAS = read_list("en/cameras")
PLURAL_CAMERAS = {"we"}
TARGETS_IN = read_list("en/targets_in")
TARGETS_OUT = read_list("en/targets_out")
TARGETS_SIDE = read_list("en/targets_side")
TARGETS_VERTICAL = read_list("en/targets_vertical")
TARGETS_ROTATE = read_list("en/targets_rotate")
SUBJECTS = read_list("en/subjects")
FRAMES = read_list("en/frames")
REQUESTS = read_list("en/requests")
MORE_REQUESTS = read_list("en/more_requests")
NOUN_FRAMES = read_list("en/noun_frames")
MORE_NOUN_FRAMES = read_list("en/more_noun_frames")

# Words that ask for no motion, some of them close to those that do on purpose.
DISTRACTORS = read_list("en/distractors")
MOVING_THINGS = read_list("en/moving_things")
MOVING_DEEDS = read_list("en/moving_deeds")
# Words that merely contain a direction or a motion.
CONTAINING = read_list("en/containing")
CONTAINING_FRAMES = read_list("en/containing_frames")
# A motion that is only a picture of one.
DEPICTED = read_list("en/depicted")
DEPICTABLE = read_list("en/depictable")

# No caption draws these; the tokenizer that ships was trained with them.
TOKENIZER_ONLY = read_list("en/tokenizer_only")

# Chinese.
ZH_CAMERA = read_list("zh/camera")
ZH_VERBS = read_camera_table("zh/verbs")
ZH_WATER = read_list("zh/water")
ZH_WATER_VERBS = read_list("zh/water_verbs")
ZH_WATER_NOUNS = read_list("zh/water_nouns")
ZH_WIND_THINGS = read_list("zh/wind_things")
ZH_SWAY_VERBS = read_list("zh/sway_verbs")
ZH_WIND_PREFIX = read_list("zh/wind_prefix")
ZH_WIND_SLOW = read_list("zh/wind_slow")
ZH_WIND_FAST = read_list("zh/wind_fast")
ZH_WIND_NOUNS = read_list("zh/wind_nouns")
ZH_STATIC = read_list("zh/static")
ZH_STATIC_CAMERA = read_list("zh/static_camera")
ZH_ONLY_MOVES = read_table("zh/only_moves")
ZH_NEGATED = read_list("zh/negated")
ZH_SLOW = read_list("zh/slow")
ZH_FAST = read_list("zh/fast")
ZH_NEUTRAL = read_list("zh/neutral")
ZH_SLOW_TAIL = read_list("zh/slow_tail")
ZH_FAST_TAIL = read_list("zh/fast_tail")
ZH_SUBJECTS = read_list("zh/subjects")
ZH_FRAMES = read_list("zh/frames")
ZH_MORE_FRAMES = read_list("zh/more_frames")
ZH_CONNECT = read_list("zh/connect")
ZH_DISTRACTORS = read_list("zh/distractors")
ZH_DEPICTED = read_list("zh/depicted")
ZH_DEPICTABLE = read_list("zh/depictable")
