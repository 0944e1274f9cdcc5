"""Named colours: linear RGB of objects, with jitter in shade, and which colours each category comes in."""

import colorsys

import numpy as np

# name: (hue range in turns, saturation range, value range), HSV of the linear albedo
_RANGES = {
    "red": ((-0.02, 0.015), (0.85, 0.97), (0.5, 0.8)),
    "orange": ((0.05, 0.075), (0.9, 1.0), (0.8, 0.95)),
    "yellow": ((0.125, 0.15), (0.85, 0.97), (0.8, 0.95)),
    "green": ((0.32, 0.4), (0.75, 0.95), (0.25, 0.5)),
    "blue": ((0.59, 0.64), (0.8, 0.95), (0.4, 0.75)),
    "purple": ((0.74, 0.79), (0.65, 0.85), (0.3, 0.5)),
    "pink": ((0.9, 0.95), (0.42, 0.6), (0.85, 0.98)),
    "brown": ((0.04, 0.065), (0.75, 0.88), (0.16, 0.26)),
    "white": ((0.0, 1.0), (0.0, 0.05), (0.85, 0.95)),
    "grey": ((0.0, 1.0), (0.0, 0.06), (0.2, 0.34)),
    "black": ((0.0, 1.0), (0.0, 0.15), (0.015, 0.035)),
}
COLOURS = tuple(_RANGES)
_FOOD = {
    "banana": ("yellow",),
    "apple": ("red", "green"),
    "pear": ("green", "yellow"),
    "lemon": ("yellow",),
    "carrot": ("orange",),
}
_FOOD_HSV = {
    ("banana", "yellow"): ((0.125, 0.14), (0.85, 0.93), (0.8, 0.92)),
    ("apple", "red"): ((-0.02, 0.01), (0.85, 0.95), (0.5, 0.7)),
    ("apple", "green"): ((0.22, 0.26), (0.8, 0.9), (0.45, 0.65)),
    ("pear", "green"): ((0.2, 0.235), (0.75, 0.88), (0.5, 0.65)),
    ("pear", "yellow"): ((0.135, 0.155), (0.75, 0.88), (0.72, 0.85)),
    ("lemon", "yellow"): ((0.145, 0.16), (0.9, 0.97), (0.85, 0.97)),
    ("carrot", "orange"): ((0.045, 0.065), (0.92, 0.98), (0.8, 0.92)),
}
# Parts of metal are grey, so tools with metal heads do not come in grey.
_WITHOUT = {
    "knife": {"grey"},
    "scissors": {"grey"},
    "hammer": {"grey"},
    "screwdriver": {"grey", "brown"},
    "ball": {"brown", "black"},
}
# Colours that parts of a category show whatever its own colour is (blades, labels, pages, screens, leaves, flames):
# never claimed absent.
ALSO_SHOWS = {
    "knife": {"grey", "white"},
    "scissors": {"grey", "white"},
    "hammer": {"grey"},
    "screwdriver": {"grey", "black"},
    "pan": {"black", "grey"},
    "ball": {"white", "grey"},
    "book": {"white", "black"},
    "phone": {"black", "blue", "green", "grey"},
    "bottle": {"white", "black", "orange"},
    "candle": {"yellow", "orange", "grey", "white"},
    "carrot": {"green"},
    "apple": {"green", "yellow"},
    "pear": {"brown", "yellow", "green"},
    "lemon": {"green"},
    "banana": {"brown"},
    "mug": {"white"},
}


def colours_of(category: str) -> tuple[str, ...]:
    """Colour names in which a category can appear."""
    if category in _FOOD:
        return _FOOD[category]
    return tuple(name for name in COLOURS if name not in _WITHOUT.get(category, ()))


def sample_albedo(category: str, colour: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """Linear RGB albedo in 0..1 of one object, jittered inside the named colour's range."""
    hue, saturation, value = (rng.uniform(*span) for span in _FOOD_HSV.get((category, colour), _RANGES[colour]))
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
