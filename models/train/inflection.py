"""English verb forms, and joins of phrases. A verb may have words before it: the last one is inflected."""

# Their last letter is doubled before -ing and -ed.
DOUBLED = {
    *(
        "pan",
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
    ),
    *("cut", "hum"),
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


def third(verb: str) -> str:
    """pan -> pans, carry -> carries."""
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


def ing(verb: str) -> str:
    """pan -> panning, move -> moving."""
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


def past(verb: str) -> str:
    """pan -> panned, rise -> rose."""
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


def base(verb: str) -> str:
    """The verb as it is: a form like the others."""
    return verb


def joined(*parts: str) -> str:
    """The parts that are not empty, with a space between them."""
    return " ".join(part for part in parts if part)


def with_an(text: str) -> str:
    """Every "a" before a vowel becomes "an". It goes by letters, not by sound, as people sometimes do."""
    words = text.split(" ")
    for i in range(len(words) - 1):
        if words[i] == "a" and words[i + 1][:1] in "aeiou":
            words[i] = "an"
    return " ".join(words)
