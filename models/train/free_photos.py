"""The photographs that come with scikit-image, CC0 or public domain by its own notes.

Training never sees those of HELD_OUT.
"""

from importlib.util import find_spec
from pathlib import Path

TRAINING = [
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "camera.png",
    "brick.png",
    "grass.png",
    "gravel.png",
    "clock_motion.png",
    "coins.png",
]
HELD_OUT = ["chelsea.png", "coffee.png", "astronaut.png"]


def folder() -> Path:
    """Raises SystemExit where scikit-image is not installed."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "The photographs of scikit-image are needed: pip install scikit-image, or name --photos."
        )
    return Path(spec.origin).parent / "data"
