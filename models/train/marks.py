"""Private characters around a clause that name its kinds, while a caption is being made.

A clause begins with a character of MARKS, first kind * 32 + second kind, each one more than its index, and
ends with END.
"""

import re

from kinds import INDEX, KINDS

MARKS, END = 0xE000, "\uf8ff"
# (start, end, kinds) of letters.
Span = tuple[int, int, list[str]]


def mark(text: str, *kinds: str) -> str:
    first, second = ([INDEX[kind] + 1 for kind in kinds] + [0])[:2]
    inner = re.sub("[\ue000-\uf8ff]", "", text)
    return f"{chr(MARKS + first * 32 + second)}{inner}{END}"


def unmarked(text: str) -> tuple[str, list[Span]]:
    out: list[str] = []
    spans = []
    start, kinds = 0, list[str]()
    for letter in text:
        code = ord(letter)
        if letter == END:
            if kinds:
                spans.append((start, len(out), kinds))
            kinds = []
        elif MARKS <= code < MARKS + 1024:
            first, second = divmod(code - MARKS, 32)
            start, kinds = len(out), [KINDS[first - 1]] + ([KINDS[second - 1]] if second else [])
        else:
            out.append(letter)
    return "".join(out), spans
