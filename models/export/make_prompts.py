"""Makes golden data of 2,000 strings as people, phones and broken programs write them: what CLIP's tokenizer
makes of each. Writes tests/golden/numerics/prompts-cleaned.jsonl.gz.

    python make_prompts.py

The tokenizer is the one that diffusers' I2VGenXLPipeline names: `transformers.CLIPTokenizer` with ftfy
installed, which cleans by `ftfy.fix_text`, collapses white space and lowers the case. Its vocabulary is that
of tests/fixtures/clip.
"""

import gzip
import html.entities
import json
import random
import re
import zlib
from collections.abc import Callable

import ftfy
import ftfy.bad_codecs  # noqa: F401 - registers the sloppy encodings
import numpy as np
from ftfy.chardata import CHARMAP_ENCODINGS
from transformers import CLIPTokenizer

from make_numerics import TESTS, load_tokenizer

COUNT = 2000
SENTENCES = [
    "Camera slowly zooming in",
    "it's a cat that doesn't move, and they'll see it's snowing",
    "“slow zoom in”, she said: ‘don’t stop’",
    "Papers were floating in the air on a table in the library",
    "the café’s naïve façade – crème brûlée…",
    "Größe, Straße, Übermut: die Kamera fährt zurück",
    "niño señor ¿qué tal? ¡adiós!",
    "à la mode, voilà, às vezes, àquele",
    "zażółć gęślą jaźń",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "árvíztűrő tükörfúrógép",
    "şğıİöçü güneş doğuyor",
    "Ąžuolas šlama, ėjo žąsys",
    "медленное приближение, снег падает",
    "Україна їжа ґанок",
    "ΑΡΓΗ ΕΣΤΙΑΣΗ, η κάμερα πλησιάζει",
    "镜头缓缓推进，雪花飘落。",
    "カメラがゆっくりズームイン、雪が降る",
    "카메라가 천천히 확대됩니다",
    "قطة تجري",
    "नमस्ते दुनिया",
    "🎥 zoom in 🐈‍⬛ ❤️ 🏴󠁧󠁢󠁷󠁬󠁳󠁿",
    "Ｃａｍｅｒａ　ｚｏｏｍ！ １２３",
    "ｶﾒﾗ ｽﾞｰﾑ ﾊﾟﾝ",
    "ﬁne ﬂuﬃeﬆ ŉ Ǆungla ĳs ﬅill",
    "ΣΑΣ ΌΣΟΣ. İstanbul J̌ H̱ ẞ ſ 'ſt I'S",
    "A\u030angstro\u0308m e\u0301\u0302",
    "50 % £20 €30 ½ ¾ ² × ÷ ± ° © ® ™",
]
ENTITIES = [
    "&amp;", "&lt;", "&gt;", "&quot;", "&nbsp;", "&eacute;", "&EACUTE;", "&SZLIG;", "&amp;amp;", "&amp;quot;",
    "&#39;", "&#x27;", "&#8217;", "&#x1F600;", "&#0;", "&#128;", "&#xD800;", "&#x110000;", "&#59;", "&#12a;",
    "&#1;", "&#xFFFE;", "&amp", "&copy", "&notit;", "&nTILDE;", "&LTIMES;", "&hellip;", "<b>",
    "&NotEqualTilde;",
]  # fmt: skip
SIGNS = [
    "\0", "\a", "\b", "\t", "\n", "\v", "\f", "\r", "\r\n", "\x1a", "\x1b[31m", "\x1b[0m", "\x1b[1;2K",
    "\x1b",
    "\x7f", "\x80", "\x81", "\x85", "\x99", "\xa0", "\xad", "\u180e", "\u200b", "\u200d", "\u200e", "\u2028",
    "\u2029", "\u202e", "\u206a", "\u3000", "\ufeff", "\ufff9", "\ufffc", "\ufffd", "\ufe0f", "\ud83d",
    "\ude00",
    "\ue000", "\uf8ff", "<|endoftext|>", "<|startoftext|>", "<|EndOfText|>", "&lt;|endoftext|&gt;",
    "'ſt", "\u0345",
]  # fmt: skip


def mojibake(text: str, draw: random.Random) -> str:
    """The bytes of UTF-8 (or CESU-8) read in another encoding, once or twice, some of them lost."""
    for _ in range(draw.choice((1, 1, 1, 2))):
        data = text.encode("utf-8", "surrogatepass")
        if draw.random() < 0.1:
            utf16 = text.encode("utf-16-le", "surrogatepass")
            units = [utf16[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(utf16), 2)]
            data = b"".join(unit.encode("utf-8", "surrogatepass") for unit in units)
        if draw.random() < 0.2:
            data = data.replace(b"\xa0", b" ")
        text = data.decode(draw.choice(CHARMAP_ENCODINGS), "replace")
        if draw.random() < 0.15:
            text = re.sub("[\x80-\x9f]", draw.choice("?\ufffd"), text)
    return text


def part(text: str, draw: random.Random) -> str:
    words = text.split(" ")
    first = draw.randrange(len(words))
    return " ".join(words[first : first + draw.randint(1, 6)])


def curly(text: str, draw: random.Random) -> str:
    return text.replace("'", draw.choice("’ʼ‘‛")).replace('"', draw.choice("“”„‟"))


def wide(text: str, draw: random.Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and draw.random() < 0.7 else c for c in text)


def escaped(text: str, draw: random.Random) -> str:
    named = html.entities.codepoint2name
    for _ in range(draw.choice((1, 1, 2))):
        text = "".join(
            f"&{named[ord(c)]};" if ord(c) in named else f"&#{ord(c)};" if draw.random() < 0.03 else c
            for c in text
        )
    return text.upper() if draw.random() < 0.1 else text


def strewn(text: str, draw: random.Random) -> str:
    for _ in range(draw.randint(1, 4)):
        at = draw.randint(0, len(text))
        text = text[:at] + draw.choice(draw.choice((SIGNS, SIGNS, ENTITIES))) + text[at:]
    return text


def anything(text: str, draw: random.Random) -> str:
    """Characters of the blocks that the rules are about."""
    blocks = [(0x20, 0x7F), (0x80, 0x180), (0x180, 0x250), (0x370, 0x460), (0x2000, 0x2070), (0x2190, 0x25A0)]
    blocks += [(0xFB00, 0xFB07), (0xFF00, 0xFFF0), (0x1F600, 0x1F640)]
    return "".join(chr(draw.randrange(*draw.choice(blocks))) for _ in range(draw.randint(1, 24)))


def entity(text: str, draw: random.Random) -> str:
    name = draw.choice(sorted(html.entities.html5))
    name = draw.choice((name, name, name.upper(), name.lower()))
    return f"{text} &{name} {draw.choice(('', 'x', ';'))}"


def same(text: str, draw: random.Random) -> str:
    return text


def strings(seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    changes: list[Callable[[str, random.Random], str]] = [
        same, curly, wide, escaped, strewn, anything, entity, mojibake, mojibake, mojibake,
    ]  # fmt: skip
    made = dict.fromkeys(SENTENCES)
    made |= dict.fromkeys(wrong for text in SENTENCES for wrong in read_wrong(text))
    while len(made) < COUNT:
        text = part(draw.choice(SENTENCES), draw)
        for change in draw.sample(changes, draw.choice((1, 1, 2))):
            text = change(text, draw)
        if draw.random() < 0.2:
            text += draw.choice((" ", "\n")) + part(draw.choice(SENTENCES), draw)
        made[text] = None
    return list(made)[:COUNT]


def read_wrong(text: str) -> list[str]:
    """The text in every encoding that ftfy knows."""
    return [text.encode("utf-8").decode(encoding, "replace") for encoding in CHARMAP_ENCODINGS]


def cleaned(text: str) -> str:
    """As CLIPTokenizer does where no special token is written out."""
    return re.sub(r"\s+", " ", ftfy.fix_text(text)).strip().lower()


def checksum(tokenizer: CLIPTokenizer, text: str) -> int:
    """CRC-32 of the token ids as 16-bit numbers, little-endian. Python's half a pair is JavaScript's, too."""
    ids = tokenizer(text, padding="max_length", truncation=True).input_ids
    return zlib.crc32(np.asarray(ids, dtype="<u2").tobytes())


def main() -> None:
    tokenizer = load_tokenizer(TESTS / "fixtures" / "clip")
    lines = [json.dumps([text, cleaned(text), checksum(tokenizer, text)]) for text in strings()]
    data = gzip.compress(("\n".join(lines) + "\n").encode("ascii"), mtime=0)
    (TESTS / "golden" / "numerics" / "prompts-cleaned.jsonl.gz").write_bytes(data)
    print(f"prompts-cleaned.jsonl.gz: {len(lines)} strings, {len(data)} bytes")


if __name__ == "__main__":
    main()
