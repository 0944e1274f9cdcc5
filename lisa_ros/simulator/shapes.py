"""How the household categories are built from primitives."""

import math

import numpy as np

from lisa_ros.simulator.intersect import BOX, FRUSTUM, SPHERE
from lisa_ros.simulator.parts import (
    ALONG_X,
    DARK,
    LABEL,
    LEAF,
    METAL,
    PANEL,
    RINGS,
    SECTORS,
    SPECKLE,
    STEM,
    TIPS,
    UPRIGHT,
    WHITE,
    Part,
    ball,
    box,
    darker,
    ring,
    rod,
    tube,
    turned,
)


def _mug(colour, rng):
    height, radius = rng.uniform(0.085, 0.11), rng.uniform(0.038, 0.046)
    inner = radius * 0.87
    inside = darker(WHITE, 0.9) if rng.random() < 0.4 else darker(colour, 0.8)
    return [
        tube(0.0, height, radius * rng.uniform(0.82, 1.0), radius, colour, hole=inner, gloss=0.4),
        tube(0.012, height, inner * 0.85, inner, inside, caps=2),
        ring((radius * 1.05, 0.0, height * 0.52), height * 0.27, 0.0075, math.pi * 0.5, colour, UPRIGHT, gloss=0.4),
    ]


def _bottle(colour, rng):
    height, radius = rng.uniform(0.21, 0.27), rng.uniform(0.033, 0.04)
    shoulder, neck = height * 0.58, height * 0.78
    cap = WHITE if rng.random() < 0.5 else DARK
    label = WHITE if max(colour) - min(colour) > 0.2 else (0.75, 0.6, 0.3)
    return [
        tube(0.0, shoulder, radius, radius, colour, texture=LABEL, colour2=label, gloss=0.7),
        tube(shoulder, neck, radius, radius * 0.36, colour, gloss=0.7),
        tube(neck, height * 0.94, radius * 0.36, radius * 0.36, colour, gloss=0.7),
        tube(height * 0.94, height, radius * 0.43, radius * 0.43, cap),
    ]


def _bowl(colour, rng):
    radius, depth = rng.uniform(0.068, 0.088), rng.uniform(0.05, 0.064)
    inside = tuple(min(1.0, c * 1.12 + 0.03) for c in colour)
    return [
        ball((0.0, 0.0, depth), (radius, radius, depth), colour, -1.0, 0.0, gloss=0.4),
        ball((0.0, 0.0, depth), (radius * 0.93, radius * 0.93, depth * 0.88), inside, -1.0, 0.0, gloss=0.4),
        tube(depth - 0.0005, depth + 0.0005, radius, radius, colour, caps=1, hole=radius * 0.93),
    ]


def _plate(colour, rng):
    radius = rng.uniform(0.098, 0.122)
    rim = 0.022
    inside = darker(colour, 0.82)
    return [
        tube(0.0, rim, radius * 0.62, radius, colour, caps=2, gloss=0.4),
        tube(0.005, rim, radius * 0.6, radius, colour, caps=0, gloss=0.4),
        tube(0.003, 0.005, radius * 0.6, radius * 0.6, inside, caps=1, gloss=0.4),
    ]


def _pan(colour, rng):
    radius, height = rng.uniform(0.085, 0.1), rng.uniform(0.034, 0.044)
    shift = -0.075
    parts = [
        tube(0.0, height, radius * 0.88, radius, colour, hole=radius * 0.93, gloss=0.3),
        tube(0.005, height, radius * 0.82, radius * 0.93, DARK, caps=2, gloss=0.5),
    ]
    for part in parts:
        part.centre = (shift, 0.0, part.centre[2])
    handle = colour if rng.random() < 0.5 else DARK
    return [*parts, rod(shift + radius * 0.95, shift + radius + 0.16, height * 0.8, 0.011, 0.014, handle, flat=0.6)]


def _knife(colour, rng):
    wide = rng.uniform(0.017, 0.021)
    return [
        rod(-0.145, -0.03, 0.012, 0.016, 0.013, colour, flat=0.7),
        box((0.03, 0.0, 0.011), (0.06, wide, 0.002), METAL, gloss=0.9),
        rod(0.09, 0.16, 0.011, wide, 0.002, METAL, flat=0.1, gloss=0.9),
    ]


def _fork(colour, rng):
    head = rng.uniform(0.02, 0.024)
    parts = [
        rod(-0.125, 0.035, 0.009, 0.0105, 0.0065, colour, flat=0.55, gloss=0.6),
        ball((0.046, 0.0, 0.009), (0.02, head, 0.005), colour, gloss=0.6),
    ]
    for k in range(4):
        y = (k - 1.5) * head * 0.56
        parts.append(rod(0.05, 0.122, 0.01, 0.0042, 0.0026, colour, y=y, gloss=0.6))
    return parts


def _spoon(colour, rng):
    wide = rng.uniform(0.024, 0.029)
    return [
        rod(-0.125, 0.06, 0.008, 0.0105, 0.0065, colour, flat=0.55, gloss=0.6),
        ball((0.09, 0.0, 0.016), (0.039, wide, 0.015), colour, -1.0, 0.0, gloss=0.6),
        ball((0.09, 0.0, 0.0165), (0.037, wide * 0.93, 0.011), darker(colour, 0.75), -1.0, 0.0, gloss=0.6),
    ]


def _scissors(colour, rng):
    spread = rng.uniform(9.0, 17.0)
    parts = []
    for sign in (-1.0, 1.0):
        turn = turned(sign * spread)
        blade = turn @ np.array([0.06, 0.0, 0.0])
        shank = turn @ np.array([-0.03, 0.0, 0.0])
        loop = turn @ np.array([-0.078, 0.0, 0.0]) + np.array([0.0, sign * -0.008, 0.0])
        height = 0.009 + 0.003 * sign
        parts += [
            Part(
                FRUSTUM,
                (blade[0], blade[1], height),
                (0.0016, 0.0125, 0.06),
                METAL,
                (1.0, 0.15, 3.0, 0.0),
                rotation=turn @ ALONG_X,
                gloss=0.9,
            ),
            Part(BOX, (shank[0], shank[1], height), (0.028, 0.0065, 0.0045), colour, rotation=turn),
            ring((loop[0], loop[1], 0.0085), 0.024, 0.0075, math.pi, colour),
        ]
    return parts


def _hammer(colour, rng):
    size = rng.uniform(0.016, 0.02)
    return [
        rod(-0.15, 0.085, 0.02, 0.0155, 0.0115, colour),
        Part(FRUSTUM, (0.1, 0.0, 0.02), (size, size, 0.05), METAL, (0.75, 1.0, 3.0, 0.0), rotation=UPRIGHT, gloss=0.8),
        box((0.1, 0.0, 0.02), (0.017, 0.024, 0.019), darker(METAL, 0.8), gloss=0.8),
    ]


def _screwdriver(colour, rng):
    thick = rng.uniform(0.0155, 0.0185)
    return [
        ball((-0.105, 0.0, thick), (thick, thick, thick), colour, gloss=0.5),
        rod(
            -0.105,
            -0.005,
            thick,
            thick,
            thick * 0.85,
            colour,
            texture=SECTORS,
            colour2=darker(colour, 0.55),
            gloss=0.5,
        ),
        rod(-0.005, 0.01, thick, thick * 0.6, thick * 0.45, DARK),
        rod(0.01, 0.115, thick, 0.0055, 0.0055, METAL, gloss=0.9),
        box((0.12, 0.0, thick), (0.009, 0.007, 0.0022), METAL, gloss=0.9),
    ]


def _banana(colour, rng):
    radius, thick = rng.uniform(0.085, 0.1), rng.uniform(0.0175, 0.0205)
    half = rng.uniform(0.78, 0.95)
    tip = np.array([math.cos(half), math.sin(half)]) * radius
    shift = radius * 0.85
    rotation = turned(-90.0)
    stem = rotation @ np.array([tip[0] - shift, tip[1], 0.0])
    return [
        ring(
            tuple(rotation @ np.array([-shift, 0.0, 0.0]) + np.array([0.0, 0.0, thick])),
            radius,
            thick,
            half,
            colour,
            rotation,
            taper=0.62,
            texture=TIPS,
            colour2=STEM,
            gloss=0.1,
        ),
        Part(BOX, (stem[0], stem[1], thick), (0.012, 0.0045, 0.0045), STEM, rotation=turned(-math.degrees(half))),
    ]


def _apple(colour, rng):
    radius = rng.uniform(0.035, 0.042)
    rotation = turned(rng.uniform(0, 360))
    return [
        ball(
            (0.0, 0.0, radius * 0.92),
            (radius, radius, radius * 0.92),
            colour,
            texture=SPECKLE,
            colour2=tuple(min(1.0, c * 1.1 + 0.12) for c in colour),
            gloss=0.5,
        ),
        tube(radius * 1.75, radius * 2.2, 0.002, 0.003, STEM),
        Part(
            SPHERE, (0.012, 0.0, radius * 2.05), (0.014, 0.007, 0.0025), LEAF, (-1.0, 1.0, 0.0, 0.0), rotation=rotation
        ),
    ]


def _pear(colour, rng):
    radius = rng.uniform(0.034, 0.04)
    return [
        ball((0.0, 0.0, radius * 0.97), (radius, radius, radius), colour, texture=SPECKLE, colour2=darker(colour, 0.7)),
        tube(
            radius * 1.42,
            radius * 2.55,
            radius * 0.885,
            radius * 0.46,
            colour,
            caps=0,
            texture=SPECKLE,
            colour2=darker(colour, 0.7),
        ),
        ball((0.0, 0.0, radius * 2.52), (radius * 0.47, radius * 0.47, radius * 0.42), colour),
        tube(radius * 2.8, radius * 3.3, 0.0025, 0.003, STEM),
    ]


def _lemon(colour, rng):
    radius = rng.uniform(0.027, 0.031)
    return [
        ball(
            (0.0, 0.0, radius),
            (radius * 1.3, radius, radius),
            colour,
            texture=SPECKLE,
            colour2=darker(colour, 0.85),
            gloss=0.3,
        ),
        ball((radius * 1.27, 0.0, radius), (radius * 0.32, radius * 0.3, radius * 0.3), colour),
        ball((-radius * 1.27, 0.0, radius), (radius * 0.25, radius * 0.25, radius * 0.25), colour),
    ]


def _carrot(colour, rng):
    length, thick = rng.uniform(0.1, 0.125), rng.uniform(0.019, 0.023)
    parts = [
        rod(-length, length * 0.55, thick, 0.004, thick, colour, texture=RINGS, colour2=darker(colour, 0.8)),
        ball((length * 0.55, 0.0, thick), (thick * 0.7, thick, thick), colour),
    ]
    for angle, reach in ((-26.0, 0.045), (0.0, 0.055), (26.0, 0.045)):
        turn = turned(angle)
        centre = turn @ np.array([reach, 0.0, 0.0])
        parts.append(
            Part(
                SPHERE,
                (length * 0.6 + centre[0], centre[1], thick * 0.9),
                (reach * 0.85, 0.0085, 0.0085),
                LEAF,
                (-1.0, 1.0, 0.0, 0.0),
                rotation=turn,
            )
        )
    return parts


def _book(colour, rng):
    x, y, z = rng.uniform(0.095, 0.115), rng.uniform(0.065, 0.08), rng.uniform(0.012, 0.022)
    title = WHITE if sum(colour) < 1.9 else (0.25, 0.22, 0.3)
    return [
        box((0.0, 0.0, 0.003), (x, y, 0.003), colour),
        box(
            (0.003, 0.0, 0.006 + z),
            (x - 0.008, y - 0.005, z),
            (0.9, 0.87, 0.78),
            texture=RINGS,
            colour2=(0.75, 0.71, 0.62),
        ),
        box((0.0, 0.0, 0.009 + 2 * z), (x, y, 0.003), colour, texture=PANEL, colour2=title),
        box((-x + 0.003, 0.0, 0.006 + z), (0.004, y, z + 0.005), colour),
    ]


def _sphere_toy(colour, rng):
    radius = rng.uniform(0.042, 0.055)
    second = WHITE if sum(colour) < 2.3 else (0.45, 0.45, 0.47)
    tilt = rng.uniform(0.25, 1.2)
    rotation = np.array(
        [[1.0, 0.0, 0.0], [0.0, math.cos(tilt), -math.sin(tilt)], [0.0, math.sin(tilt), math.cos(tilt)]]
    )
    return [
        Part(
            SPHERE,
            (0.0, 0.0, radius),
            (radius, radius, radius),
            colour,
            (-1.0, 1.0, 0.0, 0.0),
            rotation=rotation,
            texture=SECTORS,
            colour2=second,
            gloss=0.5,
        )
    ]


def _candle(colour, rng):
    height, radius = rng.uniform(0.1, 0.15), rng.uniform(0.019, 0.025)
    return [
        tube(0.0, 0.008, radius * 2.0, radius * 2.1, METAL, gloss=0.7),
        tube(0.008, height, radius, radius, colour),
        tube(height, height + 0.01, 0.002, 0.002, DARK),
        ball((0.0, 0.0, height + 0.024), (0.008, 0.008, 0.018), (1.6, 1.15, 0.35)),
    ]


def _phone(colour, rng):
    x, y = rng.uniform(0.078, 0.09), rng.uniform(0.038, 0.044)
    screen = [(0.25, 0.45, 0.75), (0.1, 0.12, 0.16), (0.35, 0.7, 0.75)][rng.integers(3)]
    return [
        box((0.0, 0.0, 0.006), (x, y, 0.006), colour, gloss=0.4),
        box((0.0, 0.0, 0.0125), (x * 0.9, y * 0.88, 0.001), DARK, gloss=0.8),
        box(
            (-0.004, 0.0, 0.0135),
            (x * 0.76, y * 0.8, 0.001),
            screen,
            texture=PANEL,
            colour2=darker(screen, 0.55),
            gloss=0.8,
        ),
    ]


BUILDERS = {
    "mug": _mug,
    "bottle": _bottle,
    "bowl": _bowl,
    "plate": _plate,
    "pan": _pan,
    "knife": _knife,
    "fork": _fork,
    "spoon": _spoon,
    "scissors": _scissors,
    "hammer": _hammer,
    "screwdriver": _screwdriver,
    "banana": _banana,
    "apple": _apple,
    "pear": _pear,
    "lemon": _lemon,
    "carrot": _carrot,
    "book": _book,
    "ball": _sphere_toy,
    "candle": _candle,
    "phone": _phone,
}
CATEGORIES = tuple(BUILDERS)


def build(category, colour, rng):
    """Parts of one object. colour: linear RGB in 0..1. rng: numpy Generator, draws the proportions."""
    return BUILDERS[category](colour, rng)
