"""Fruit and vegetables, built from primitives: each function gives the parts of one object."""

import math

import numpy as np

from lisa_ros.simulator.intersect import BOX, SPHERE
from lisa_ros.simulator.parts import (
    LEAF,
    RINGS,
    SPECKLE,
    STEM,
    TIPS,
    Part,
    ball,
    darker,
    ring,
    rod,
    tube,
    turned,
)


def banana(colour, rng):
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


def apple(colour, rng):
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


def pear(colour, rng):
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


def lemon(colour, rng):
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


def carrot(colour, rng):
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
