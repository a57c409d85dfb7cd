"""Trains and exports models/builtin: `python models/train/train.py --all`.

Only its words are learnt here: a tokenizer, then the two networks that read prompts, from captions that are
made up as they go. Everything else is computed, apart from the masks, whose weights lie beside masks.py.
`--stages export` makes the pack of the words that are kept in weights/.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STAGES = ["tokenizer", "words", "export"]


def run(script: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, HERE / script, *arguments], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="every stage")
    parser.add_argument("--stages", default="", help="some of " + ",".join(STAGES))
    parser.add_argument("--weights", default=HERE / "weights", type=Path, help="folder of the words")
    parser.add_argument("--pack", default=HERE.parent / "builtin", type=Path, help="the pack that is written")
    parser.add_argument("--seconds", default=1800, type=int, help="how long the words are trained")
    options = parser.parse_args()
    stages = STAGES if options.all else [s for s in options.stages.split(",") if s]
    unknown = [s for s in stages if s not in STAGES]
    if unknown or not stages:
        parser.error(f"name --all or --stages; unknown: {unknown}")
    if "tokenizer" in stages:
        run("words_tokenizer.py", options.weights)
    if "words" in stages:
        run("train_words.py", options.weights, "--seconds", str(options.seconds))
    if "export" in stages:
        run("export.py", options.weights, options.pack)


if __name__ == "__main__":
    main()
