"""Trains and exports models/builtin: `python models/train/train.py --all`.

It takes about 25 minutes on an H100: text 4, autoencoder 10, warp 5, denoiser 5. The stages, in order:
tokenizer, text, vae, warp, core, export. `--stages vae,warp` runs some of them; each reads what the earlier
ones left in --weights. All seeds are fixed.
"""

import argparse
from pathlib import Path

HERE = Path(__file__).resolve().parent
STAGES = ["tokenizer", "text", "vae", "warp", "core", "export"]
STEPS = {"text": 12000, "vae": 24000, "warp": 12000, "core": 12000}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="every stage")
    parser.add_argument("--stages", default="", help="some of " + ",".join(STAGES))
    parser.add_argument(
        "--weights", default=HERE / "out" / "weights", type=Path, help="where the stages keep their weights"
    )
    parser.add_argument(
        "--pack", default=HERE.parent / "builtin", type=Path, help="the pack that export writes"
    )
    parser.add_argument(
        "--photos", default=None, type=Path, help="folder of scikit-image's pictures, if it is not installed"
    )
    parser.add_argument("--library", default=8192, type=int, help="pictures to train on")
    parser.add_argument(
        "--scale", default=1.0, type=float, help="factor of all training steps (for a quick try)"
    )
    options = parser.parse_args()
    stages = STAGES if options.all else [s for s in options.stages.split(",") if s]
    unknown = [s for s in stages if s not in STAGES]
    if unknown or not stages:
        parser.error(f"name --all or --stages; unknown: {unknown}")
    steps = {k: max(20, round(v * options.scale)) for k, v in STEPS.items()}
    options.weights.mkdir(parents=True, exist_ok=True)
    if "tokenizer" in stages:
        import make_tokenizer

        make_tokenizer.main(options.pack / "tokenizer")
    if "text" in stages:
        import train_text

        train_text.main(options.pack / "tokenizer" / "tokenizer.json", options.weights, steps["text"])
    pictures = [s for s in stages if s in ("vae", "warp", "core")]
    if pictures:
        import free_photos
        import train_pictures

        train_pictures.main(
            pictures, options.photos or free_photos.folder(), options.weights, options.library, steps
        )
    if "export" in stages:
        import export

        export.main(options.weights, options.pack)


if __name__ == "__main__":
    main()
