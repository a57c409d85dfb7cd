"""Writes the mean of two trainings' weights: `average_words.py BEFORE AFTER OUT`, folders of train_words.py;
`--share 0.8` weighs AFTER four times as much as BEFORE.

AFTER was trained from BEFORE. Each reads some prompts rightly that the other does not; their mean reads more
of those that neither has seen than either. Where BEFORE is narrower inside, it is widened as the training
widened it.
"""

import argparse
import shutil
from pathlib import Path

import torch

from words_nets import Sizes, widened

NETS = ("text_encoder.pt", "motion_head.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("before", "after", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of AFTER in the mean")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in NETS:
        before, after = (
            torch.load(folder / name, weights_only=True) for folder in (options.before, options.after)
        )
        if name == NETS[0]:
            before = widened(before, Sizes.of(after).hidden)
        mean = {
            key: torch.lerp(before[key].float(), after[key].float(), options.share).half() for key in after
        }
        torch.save(mean, options.out / name)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(options.after / name, options.out / name)


if __name__ == "__main__":
    main()
