"""Dishes and cutlery, built from primitives: each function gives the parts of one object."""

import math

from lisa_ros.simulator.parts import (
    DARK,
    LABEL,
    METAL,
    UPRIGHT,
    WHITE,
    ball,
    box,
    darker,
    ring,
    rod,
    tube,
)


def mug(colour, rng):
    height, radius = rng.uniform(0.085, 0.11), rng.uniform(0.038, 0.046)
    inner = radius * 0.87
    inside = darker(WHITE, 0.9) if rng.random() < 0.4 else darker(colour, 0.8)
    return [
        tube(0.0, height, radius * rng.uniform(0.82, 1.0), radius, colour, hole=inner, gloss=0.4),
        tube(0.012, height, inner * 0.85, inner, inside, caps=2),
        ring((radius * 1.05, 0.0, height * 0.52), height * 0.27, 0.0075, math.pi * 0.5, colour, UPRIGHT, gloss=0.4),
    ]


def bottle(colour, rng):
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


def bowl(colour, rng):
    radius, depth = rng.uniform(0.068, 0.088), rng.uniform(0.05, 0.064)
    inside = tuple(min(1.0, c * 1.12 + 0.03) for c in colour)
    return [
        ball((0.0, 0.0, depth), (radius, radius, depth), colour, -1.0, 0.0, gloss=0.4),
        ball((0.0, 0.0, depth), (radius * 0.93, radius * 0.93, depth * 0.88), inside, -1.0, 0.0, gloss=0.4),
        tube(depth - 0.0005, depth + 0.0005, radius, radius, colour, caps=1, hole=radius * 0.93),
    ]


def plate(colour, rng):
    radius = rng.uniform(0.098, 0.122)
    rim = 0.022
    inside = darker(colour, 0.82)
    return [
        tube(0.0, rim, radius * 0.62, radius, colour, caps=2, gloss=0.4),
        tube(0.005, rim, radius * 0.6, radius, colour, caps=0, gloss=0.4),
        tube(0.003, 0.005, radius * 0.6, radius * 0.6, inside, caps=1, gloss=0.4),
    ]


def pan(colour, rng):
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


def knife(colour, rng):
    wide = rng.uniform(0.017, 0.021)
    return [
        rod(-0.145, -0.03, 0.012, 0.016, 0.013, colour, flat=0.7),
        box((0.03, 0.0, 0.011), (0.06, wide, 0.002), METAL, gloss=0.9),
        rod(0.09, 0.16, 0.011, wide, 0.002, METAL, flat=0.1, gloss=0.9),
    ]


def fork(colour, rng):
    head = rng.uniform(0.02, 0.024)
    parts = [
        rod(-0.125, 0.035, 0.009, 0.0105, 0.0065, colour, flat=0.55, gloss=0.6),
        ball((0.046, 0.0, 0.009), (0.02, head, 0.005), colour, gloss=0.6),
    ]
    for k in range(4):
        y = (k - 1.5) * head * 0.56
        parts.append(rod(0.05, 0.122, 0.01, 0.0042, 0.0026, colour, y=y, gloss=0.6))
    return parts


def spoon(colour, rng):
    wide = rng.uniform(0.024, 0.029)
    return [
        rod(-0.125, 0.06, 0.008, 0.0105, 0.0065, colour, flat=0.55, gloss=0.6),
        ball((0.09, 0.0, 0.016), (0.039, wide, 0.015), colour, -1.0, 0.0, gloss=0.6),
        ball((0.09, 0.0, 0.0165), (0.037, wide * 0.93, 0.011), darker(colour, 0.75), -1.0, 0.0, gloss=0.6),
    ]
