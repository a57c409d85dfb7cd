"""Slips of the keyboard and of spelling: `Typos(rng).spoil(text, "de")`.

The private characters that mark clauses (phrases.py) stay where they are. Letters are exchanged, left out,
doubled or hit beside; a blank goes or comes; sounds are written as they are heard. Of Chinese, a character is
another one of the same sound; of Japanese, kana change their kind or size. `shortened` writes as in a chat.
"""

import re
import tomllib
from pathlib import Path
from random import Random

from draws import Draws

FOLDER = Path(__file__).with_name("wordlists")
QWERTY = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
KEYS = {
    "de": ("qwertzuiopü", "asdfghjklöä", "yxcvbnm"),
    "fr": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
    "ru": ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"),
}
# How it is written → how it is heard; one of them is exchanged, in either way.
SOUNDS = {
    "en": (
        "ie ei|ll l|tt t|ss s|mm m|nn n|pp p|ck k|ph f|gh |ou o|ea ee|y i|s z|c s|er or|ence ance|"
        "kn n|wh w|ght t|tion shun|ing in|ing ng|through thru|ly ley|ible able|e |oo u|au o|qu kw|"
        "x cks|rain rane|wn n|ai ay"
    ),
    "es": (
        "b v|v b|h |ll y|y ll|z s|s z|c s|ce se|ci si|g j|j g|qu k|ñ n|rr r|n m|x s|hue gue|gü gu|"
        "que ke|ado ao|para pa|á a|í i|u o|tz ts|sh ch"
    ),
    "pt": (
        "ç s|ss s|s ss|ss ç|ch x|x ch|lh li|nh n|ão am|ão ao|õe oe|z s|s z|g j|j g|qu k|o u|u o|e i|"
        "i e|rr r|m n|ndo no|ou o|ei e|h |á a|para pra|está ta|ê e|l u|c k"
    ),
    "fr": (
        "é er|er é|é ez|é e|è ai|ai é|eau o|au o|ss s|s ss|ll l|nn n|mm m|tt t|rr r|ph f|qu k|en an|"
        "an en|s |e |x |in ain|oi oa|ç s|z s|h |y i|gu g|ent e|et é|g j|aient ait|ien iin"
    ),
    "de": (
        "ie i|i ie|ss s|ß s|ss ß|tt t|ll l|mm m|nn n|ck k|k ck|tz z|z tz|f v|v f|ä e|e ä|äu eu|ü u|"
        "ö o|ä a|d t|t d|sch sh|chs x|h |eh e|ah a|ig ich|er a|dt t|ph f|ei ai|th t|en n|be b|g k|"
        "qu kw"
    ),
    "ru": (
        "о а|а о|е и|и е|ться тся|тся ться|ь |ъ |нн н|н нн|з с|с з|д т|т д|б п|в ф|г к|ё е|шь ш|"
        "жи жы|ши шы|чт шт|го во|я е|сс с|э е|й и|ы и|ется еться|ого ова|щ ш|сч щ|что чё|сейчас щас"
    ),
}
PAIRS = {name: [entry.split(" ") for entry in text.split("|")] for name, text in SOUNDS.items()}
# What the end of a word is clipped to.
CLIPPED = {"en": ("ing", "in"), "pt": ("ndo", "no"), "es": ("ado", "ao")}
# Small kana and large ones; then those that look alike.
LARGE_KANA = str.maketrans("ぁぃぅぇぉっゃゅょァィゥェォッャュョ", "あいうえおつやゆよアイウエオツヤユヨ")
ALIKE_KANA = str.maketrans("ンソシツノクワーロニ", "ソンツシンワク一口二")
LETTER = r"[^\W\d_]"
HAN = "[㐀-鿿]"


def homophones() -> dict[str, str]:
    """Character → the frequent ones of the same sound."""
    lines = (FOLDER / "zh" / "homophones.txt").read_text(encoding="utf-8").split()
    return {letter: line.replace(letter, "") for line in lines for letter in line}


def short_forms() -> dict[str, dict[str, list[str]]]:
    """Language → word → how it is shortened in chats."""
    read = tomllib.loads((FOLDER / "short.toml").read_text(encoding="utf-8"))
    return {name: {word: forms.split() for word, forms in words.items()} for name, words in read.items()}


def neighbours(rows: tuple[str, ...]) -> dict[str, str]:
    """Letter → the keys around its own."""
    out: dict[str, str] = {}
    for y, row in enumerate(rows):
        for x, letter in enumerate(row):
            near = [row[i] for i in (x - 1, x + 1) if 0 <= i < len(row)]
            for other in (y - 1, y + 1):
                if 0 <= other < len(rows):
                    near += [rows[other][i] for i in (x - 1, x, x + 1) if 0 <= i < len(rows[other])]
            out[letter] = "".join(near)
    return out


class Typos(Draws):
    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self.keys = {name: neighbours(KEYS.get(name, QWERTY)) for name in ("en", *PAIRS)}
        self.sounds = homophones()
        self.short = short_forms()

    def spoil(self, text: str, name: str) -> str:
        """One to three slips."""
        for _ in range(self.rng.choices((1, 2, 3), (0.7, 0.22, 0.08))[0]):
            if name == "zh":
                text = self.homophone(text)
            elif name == "ja":
                text = self.kana(text)
            else:
                text = self.heard(text, name) if self.chance(0.3) else self.hit(text, name)
        return text

    def shortened(self, text: str, name: str) -> str:
        """As in a chat: words in their short forms, endings clipped."""
        forms = self.short.get(name, {})

        def form(word: re.Match[str]) -> str:
            short = forms.get(word[0].lower())
            return self.pick(short) if short and self.chance(0.7) else word[0]

        text = re.sub(r"[^\W\d_]+(?:-[^\W\d_]+)*", form, text)
        if name in CLIPPED and self.chance(0.5):
            end, clipped = CLIPPED[name]
            text = re.sub(rf"(?<={LETTER}{{2}}){end}\b", clipped, text)
        return text

    def hit(self, text: str, name: str) -> str:
        """Letters inside words exchanged, left out, doubled or others; blanks missing or too many."""
        if self.chance(0.07):
            return self.blank(text)
        # Seldom the first letter of a word, and never within a short one.
        first = "" if self.chance(0.06) else rf"(?<={LETTER})"
        spots = [m.start() for m in re.finditer(rf"{first}[a-zà-ÿа-яё](?={LETTER}{LETTER})", text)]
        spots += [m.start() for m in re.finditer(rf"(?<={LETTER}{{3}})[a-zà-ÿа-яё](?!{LETTER})", text)]
        if not spots:
            return text
        i = self.pick(spots)
        last = i + 1 >= len(text) or not text[i + 1].isalpha()
        x = self.rng.random()
        if x < 0.28 and not last:
            return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
        if x < 0.58:
            return text[:i] + text[i + 1 :]
        if x < 0.72:
            return text[:i] + text[i] + text[i:]
        if x < 0.77:
            return text[:i] + text[i] * self.rng.randint(2, 5) + text[i:]
        near = self.keys[name].get(text[i]) or "etaoin"
        if x < 0.9:
            return text[:i] + self.pick(near) + text[i + 1 :]
        return text[:i] + self.pick(near) + text[i:]

    def blank(self, text: str) -> str:
        blanks = [m.start() for m in re.finditer(rf"(?<={LETTER}) (?={LETTER})", text)]
        if blanks and self.chance(0.75):
            i = self.pick(blanks)
            return text[:i] + text[i + 1 :]
        inside = [m.start() for m in re.finditer(rf"(?<={LETTER}{{3}})(?={LETTER}{{3}})", text)]
        if not inside:
            return text
        i = self.pick(inside)
        return text[:i] + " " + text[i:]

    def heard(self, text: str, name: str) -> str:
        """A sound written in another way, or a vowel between two consonants, where one is heard."""
        vowels, consonants = ("еои", "бвгджзклмнпрстфхцчш") if name == "ru" else ("eai", "bcdfghjklmnprstvwz")
        between = [m.start() for m in re.finditer(f"(?<=[{consonants}])(?=[{consonants}])", text)]
        if between and self.chance(0.12):
            i = self.pick(between)
            return text[:i] + self.pick(vowels[0] + vowels) + text[i:]
        pairs = PAIRS[name]
        for _ in range(4):
            written, heard = self.pick(pairs)
            if heard and self.chance(0.3):
                written, heard = heard, written
            spots = [m.start() for m in re.finditer(rf"(?<={LETTER}){re.escape(written)}", text)]
            spots += [m.start() for m in re.finditer(rf"\b{re.escape(written)}(?={LETTER}{LETTER})", text)]
            if spots:
                i = self.pick(spots)
                return text[:i] + heard + text[i + len(written) :]
        return text

    def homophone(self, text: str) -> str:
        spots = [m.start() for m in re.finditer(HAN, text)]
        if len(spots) < 2:
            return text
        i = self.pick(spots)
        x = self.rng.random()
        if x < 0.8:
            others = self.sounds.get(text[i])
            if not others:
                return text
            # The more frequent ones stand in front.
            other = others[int(len(others) * self.rng.random() ** 2)]
            return text[:i] + other + text[i + 1 :]
        if x < 0.88:
            return text[:i] + text[i] + text[i:]
        if x < 0.94 and len(spots) > 5:
            return text[:i] + text[i + 1 :]
        if i + 1 < len(text) and re.match(HAN, text[i + 1]):
            return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
        return text

    def kana(self, text: str) -> str:
        """Kana of another size or kind, long vowels too many or too few, a wrong Chinese character."""
        x = self.rng.random()
        if x < 0.16:
            return text.translate(LARGE_KANA)
        if x < 0.28:
            return text.replace("ー", "", 1)
        if x < 0.5:
            return self.other_kana(text)
        if x < 0.62:
            spots = [m.start() for m in re.finditer("[ンソシツノクワーロニ]", text)]
            if not spots:
                return text
            i = self.pick(spots)
            return text[:i] + text[i].translate(ALIKE_KANA) + text[i + 1 :]
        if x < 0.74:
            spots = [m.start() for m in re.finditer(HAN, text)]
            if len(spots) < 3:
                return text
            i = self.pick(spots)
            others = self.sounds.get(text[i]) or "人日大"
            return text[:i] + self.pick(others) + text[i + 1 :]
        spots = [m.end() for m in re.finditer(r"[ぁ-ゖァ-ヺ](?=[ぁ-ゖァ-ヺ])", text)]
        if not spots:
            return text
        i = self.pick(spots)
        if x < 0.9:
            return text[:i] + self.pick(["〜", "ー", "～", text[i - 1]]) + text[i:]
        return text[: i - 1] + text[i:]

    def other_kana(self, text: str) -> str:
        """A word in hiragana for katakana, or the other way, or in half width."""
        runs = [m.span() for m in re.finditer("[ぁ-ゖ]{3,}|[ァ-ヺー]{2,}", text)]
        if not runs:
            return text
        start, end = self.pick(runs)
        run = text[start:end]
        if run[0] >= "ァ":
            other = "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in run)
        else:
            other = "".join(chr(ord(c) + 0x60) for c in run)
        return text[:start] + other + text[end:]
