"""Primitives as parts of objects.

An object's own frame: metres, z up, z = 0 on the table, its long side along x.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from lisa_ros.simulator.intersect import ARC, BOX, FRUSTUM, SPHERE

PLAIN, SECTORS, RINGS, SPECKLE, PANEL, TIPS, LABEL = 0, 1, 2, 3, 4, 5, 6
METAL = (0.62, 0.64, 0.67)
DARK = (0.07, 0.07, 0.08)
WHITE = (0.88, 0.87, 0.84)
LEAF = (0.16, 0.45, 0.13)
STEM = (0.28, 0.18, 0.08)

ALONG_X = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # local z -> object x
UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # local xy plane -> object xz plane
_LEVEL = np.eye(3)
_UPPER = np.array([[i & 4, i & 2, i & 1] for i in range(8)], bool)


@dataclass
class Part:
    """One primitive: object point = rotation @ (scale * local point) + centre."""

    kind: int
    centre: tuple
    scale: tuple
    colour: tuple
    shape: tuple = (0.0, 0.0, 0.0, 0.0)
    rotation: np.ndarray = field(default_factory=lambda: _LEVEL)
    texture: int = PLAIN
    colour2: tuple = WHITE
    gloss: float = 0.15

    def local_bounds(self):
        """(low, high) corners of the primitive in its local frame."""
        if self.kind == SPHERE:
            low, high = self.shape[:2]
            return (-1.0, -1.0, low), (1.0, 1.0, high)
        if self.kind == FRUSTUM:
            radius = max(self.shape[0], self.shape[1])
            return (-radius, -radius, -1.0), (radius, radius, 1.0)
        if self.kind == ARC:
            tube, half = self.shape[:2]
            side = 1.0 if half > math.pi / 2 else math.sin(half)
            return (math.cos(half) - tube, -side - tube, -tube), (1.0 + tube, side + tube, tube)
        return (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)

    def corners(self):
        """(8, 3) float: corners of the local bounds in the object's frame."""
        low, high = self.local_bounds()
        local = np.where(_UPPER, high, low)
        return (local * self.scale) @ self.rotation.T + self.centre


def turned(degrees):
    """Rotation about the object's z axis."""
    a = math.radians(degrees)
    return np.array([[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0], [0.0, 0.0, 1.0]])


def box(centre, half, colour, **more):
    """Box by its centre and half sizes, in metres."""
    return Part(BOX, centre, half, colour, **more)


def ball(centre, radii, colour, low=-1.0, high=1.0, **more):
    """Ellipsoid; what is below `low` and above `high` is cut off, both in -1..1 of its height."""
    return Part(SPHERE, centre, radii, colour, (low, high, 0.0, 0.0), **more)


def tube(bottom, top, r0, r1, colour, caps=3, hole=0.0, **more):
    """Upright frustum between two heights; `hole` in metres."""
    wide = max(r0, r1)
    return Part(
        FRUSTUM,
        (0.0, 0.0, (bottom + top) / 2),
        (wide, wide, (top - bottom) / 2),
        colour,
        (r0 / wide, r1 / wide, float(caps), hole / wide),
        **more,
    )


def rod(x0, x1, height, r0, r1, colour, flat=1.0, y=0.0, **more):
    """Lying frustum from x0 (radius r0) to x1 (radius r1); `flat` scales its height."""
    wide = max(r0, r1)
    return Part(
        FRUSTUM,
        ((x0 + x1) / 2, y, height),
        (wide * flat, wide, abs(x1 - x0) / 2),
        colour,
        (r0 / wide, r1 / wide, 3.0, 0.0),
        rotation=ALONG_X,
        **more,
    )


def ring(centre, radius, tube, half_angle, colour, rotation=_LEVEL, taper=0.0, **more):
    """Arc of a torus, up to `half_angle` (radians) to both sides; `tube` is the radius of its cross-section."""
    return Part(
        ARC,
        centre,
        (radius, radius, radius),
        colour,
        (tube / radius, half_angle, taper, 0.0),
        rotation=rotation,
        **more,
    )


def darker(colour, factor=0.6):
    """The colour with each channel times `factor`."""
    return tuple(c * factor for c in colour)
