"""Reads prompts written by hand and prints those read wrongly: `evaluate_words.py FOLDER [FILE …]`.

FOLDER is train_words.py's. With --held-out it reads captions made of the words that a training with
--hold-out never saw, instead. A file has [{prompt, language, motions: {kind: speed}}], or the first
edition's [{prompt, motions: [{kind, speed}]}]. A prompt is right when all kinds and their speeds are.
Nothing asked for is the gentle push-in, and `static` beside something that moves says nothing, as in the
model.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

import phrases
import words_nets
import words_tokenizer
from kinds import KINDS

PROMPTS = Path(__file__).parents[2] / "tests" / "fixtures" / "prompts"
SPEEDS = ["", "slow", "normal", "fast"]
DEFAULT = {"zoom-in": "slow"}


class Reader:
    """Prompts → motions, with the weights of a folder."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer, end = words_tokenizer.load(folder / "tokenizer.json")
        self.tokenizer.enable_padding(pad_id=end, pad_token=words_tokenizer.END)
        self.encoder, self.head = words_nets.load(folder, self.tokenizer.get_vocab_size(), end)

    def read(self, prompts: Sequence[str]) -> list[dict[str, str]]:
        ids = torch.tensor([e.ids for e in self.tokenizer.encode_batch(list(prompts))])
        with torch.inference_mode():
            classes = words_nets.classes_of(self.head(self.encoder(ids)))
        return [{KINDS[k]: SPEEDS[int(row[k])] for k in range(len(KINDS)) if row[k]} for row in classes]


def meant(motions: dict[str, str]) -> dict[str, str]:
    moving = {kind: speed for kind, speed in motions.items() if kind != "static"}
    if moving:
        return moving
    return {"static": "normal"} if motions else DEFAULT


def cases_of(path: Path) -> list[tuple[str, str, dict[str, str]]]:
    """(language, prompt, motions) of every entry."""
    cases = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        motions = entry["motions"]
        if isinstance(motions, list):
            motions = {m["kind"]: m["speed"] for m in motions}
        cases.append((entry.get("language", "en, zh"), entry["prompt"], motions))
    return cases


def held_out(folder: Path, count: int = 4000) -> None:
    """Prints how many captions of one motion each, of words held out, are read rightly; and of the others."""
    reader = Reader(folder)
    common = phrases.read_common_words(folder)
    for which in (True, False):
        captions = phrases.Phrases(7, common=common, held=which)
        right: dict[str, list[bool]] = {}
        for _ in range(count // 200):
            asked = []
            for _ in range(200):
                language = captions.languages[captions.pick(captions.names)]
                kind = captions.pick(KINDS)
                speed = captions.speed_of(kind)
                asked.append((language.name, language.clause(kind, speed), {kind: SPEEDS[speed]}))
            read = reader.read([text for _, text, _ in asked])
            for (name, _, wanted), got in zip(asked, read, strict=True):
                right.setdefault(name, []).append(meant(wanted) == meant(got))
        total = sum(map(sum, right.values()))
        parts = ", ".join(f"{name} {100 * sum(r) / len(r):.1f} %" for name, r in sorted(right.items()))
        what = "held out" if which else "learnt"
        print(f"clauses of words {what}: {100 * total / count:.1f} % of {count}; {parts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "files", type=Path, nargs="*", default=[PROMPTS / "second.json", PROMPTS / "test.json"]
    )
    parser.add_argument("--quiet", action="store_true", help="no prompts")
    parser.add_argument("--held-out", action="store_true", help="clauses of words that were held out")
    options = parser.parse_args()
    if options.held_out:
        held_out(options.folder)
        return
    reader = Reader(options.folder)
    for path in options.files:
        cases = cases_of(path)
        right: dict[str, list[bool]] = {}
        for (language, prompt, wanted), got in zip(cases, reader.read([c[1] for c in cases]), strict=True):
            ok = meant(wanted) == meant(got)
            right.setdefault(language, []).append(ok)
            if not ok and not options.quiet:
                print(f"  {language} {prompt!r}: wanted {meant(wanted)}, read {meant(got)}")
        total = sum(map(sum, right.values()))
        parts = ", ".join(f"{language} {sum(r)}/{len(r)}" for language, r in right.items())
        print(f"{path.name}: {total} of {len(cases)} = {100 * total / len(cases):.1f} %; {parts}")


if __name__ == "__main__":
    main()
