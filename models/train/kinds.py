"""What the second edition of the built-in model can do, in the order of its tables."""

KINDS = (
    "zoom-in",
    "zoom-out",
    "pan-left",
    "pan-right",
    "tilt-up",
    "tilt-down",
    "rotate-cw",
    "rotate-ccw",
    "static",
    "waves",
    "sway",
    "clouds",
    "snow",
    "rain",
    "fog",
    "leaves",
    "petals",
    "embers",
    "fireflies",
    "dust",
    "bokeh",
    "bubbles",
    "steam",
    "flicker",
    "rays",
    "lightning",
    "dusk",
    "wind-left",
    "wind-right",
)
INDEX = {kind: i for i, kind in enumerate(KINDS)}
# By class: absent, slow (or light), normal, fast (or heavy).
LEVELS = (0.0, 0.35, 0.65, 1.0)
