"""Prints the test prompts that training has seen word for word: `python unseen.py`.

Draws every caption of the text stage again (12 million, some minutes on one core) and looks for the prompts
of tests/fixtures/prompts/test.json among them.
"""

import json
import math
import re
from pathlib import Path

import captions
import train
import train_text

PROMPTS = Path(__file__).parents[2] / "tests" / "fixtures" / "prompts" / "test.json"
BATCH, FIRST_SEED = 1024, 1000


def plain(text: str) -> str:
    """The text without case and punctuation, which do not make a prompt new."""
    return re.sub(r"[^\w ]", "", text.lower()).strip()


def main() -> None:
    prompts = {
        plain(entry["prompt"]): entry["prompt"] for entry in json.loads(PROMPTS.read_text(encoding="utf-8"))
    }
    seen: dict[str, int] = {}
    for i in range(math.ceil(train.STEPS["text"] * BATCH / train_text.CHUNK)):
        for text, _ in captions.Captions(FIRST_SEED + i).generate(train_text.CHUNK):
            key = plain(text)
            if key in prompts:
                seen[key] = seen.get(key, 0) + 1
    for key, count in sorted(seen.items(), key=lambda item: -item[1]):
        print(f"{count:6}  {prompts[key]}")
    print(f"{len(seen)} of {len(prompts)} prompts seen")


if __name__ == "__main__":
    main()
