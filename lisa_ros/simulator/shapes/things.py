"""Tools, toys and other things, built from primitives: each function gives the parts of one object."""

import math

import numpy as np

from lisa_ros.simulator.intersect import BOX, FRUSTUM, SPHERE
from lisa_ros.simulator.parts import (
    ALONG_X,
    DARK,
    METAL,
    PANEL,
    RINGS,
    SECTORS,
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


def scissors(colour, rng):
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


def hammer(colour, rng):
    size = rng.uniform(0.016, 0.02)
    return [
        rod(-0.15, 0.085, 0.02, 0.0155, 0.0115, colour),
        Part(FRUSTUM, (0.1, 0.0, 0.02), (size, size, 0.05), METAL, (0.75, 1.0, 3.0, 0.0), rotation=UPRIGHT, gloss=0.8),
        box((0.1, 0.0, 0.02), (0.017, 0.024, 0.019), darker(METAL, 0.8), gloss=0.8),
    ]


def screwdriver(colour, rng):
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


def book(colour, rng):
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


def sphere_toy(colour, rng):
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


def candle(colour, rng):
    height, radius = rng.uniform(0.1, 0.15), rng.uniform(0.019, 0.025)
    return [
        tube(0.0, 0.008, radius * 2.0, radius * 2.1, METAL, gloss=0.7),
        tube(0.008, height, radius, radius, colour),
        tube(height, height + 0.01, 0.002, 0.002, DARK),
        ball((0.0, 0.0, height + 0.024), (0.008, 0.008, 0.018), (1.6, 1.15, 0.35)),
    ]


def phone(colour, rng):
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
