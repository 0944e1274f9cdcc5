"""The simulator's objects as rigid bodies: convex pieces that fill what the ray-caster draws."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from lisa_ros.simulator.intersect import ARC, BOX, FRUSTUM, SPHERE
from lisa_ros.simulator.parts import METAL, Part, darker

STEEL_SHARE = 8.0  # a steel part weighs as much as this many times its volume of anything else
MASS = {  # kg, of common things of these kinds
    "mug": 0.30, "bottle": 0.50, "bowl": 0.35, "plate": 0.45, "pan": 0.80, "knife": 0.10, "fork": 0.05, "spoon": 0.05,
    "scissors": 0.08, "hammer": 0.45, "screwdriver": 0.12, "banana": 0.15, "apple": 0.18, "pear": 0.18, "lemon": 0.10,
    "carrot": 0.10, "book": 0.40, "ball": 0.10, "candle": 0.15, "phone": 0.19,
}  # fmt: skip
_STEEL = (METAL, darker(METAL, 0.8))
_ROUND = 20  # corners of a circle
_SECTORS = 20  # of the wall of a hollow thing
_SHELL_LEVELS = 4  # rings of the wall of a bowl
_ARC_STEP = math.radians(15.0)
_LEAST = 4e-4  # m, half thickness below which contacts would be missed


@dataclass(frozen=True)
class Piece:
    """A convex piece in its object's frame, m.

    kind: "box", "ellipsoid", "cylinder", "capsule" or "hull". size: half lengths of a box, radii of an ellipsoid,
    (radius, half length along z) of a cylinder or a capsule. vertices: (V, 3) of a hull, in the object's frame.
    density: relative to water's.
    """

    kind: str
    size: tuple[float, ...] = ()
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation: np.ndarray | None = None
    vertices: np.ndarray | None = None
    density: float = 1.0


def convex_pieces(parts: tuple[Part, ...]) -> list[Piece]:
    """Pieces that fill the parts of one object.

    A shell and the shell within it (mug, bowl, pan, plate, spoon) become a floor and a wall of wedges, so that the
    inside is hollow; everything else is solid.
    """
    pieces, skip = [], False
    for part, following in zip(parts, (*parts[1:], None), strict=True):
        if skip:
            skip = False
        elif _is_hollow(part) and following is not None and _is_inside(following):
            pieces += _vessel(part, following)
            skip = True
        elif not (part.kind == FRUSTUM and part.shape[3] > 0.0):  # a bare rim, whose wall is there already
            pieces += _solid(part)
    return pieces


def surface_points(parts: tuple[Part, ...], spacing: float = 0.002) -> np.ndarray:
    """(N, 3) float64 m: points on the outer surfaces of an object's parts, in its frame, about `spacing` apart."""
    return np.concatenate([_on_surface(part, spacing) for part in parts])


def _density(part: Part) -> float:
    return STEEL_SHARE if part.colour in _STEEL else 1.0


def _is_hollow(part: Part) -> bool:
    """Whether a part is the outside of a vessel: open at the top."""
    if part.kind == SPHERE:
        return part.shape[1] < 1.0
    return part.kind == FRUSTUM and (part.shape[3] > 0.0 or part.shape[2] == 2.0)


def _is_inside(part: Part) -> bool:
    if part.kind == SPHERE:
        return part.shape[1] < 1.0
    return part.kind == FRUSTUM and part.shape[2] in (0.0, 2.0)


def _solid(part: Part) -> list[Piece]:
    density, centre = _density(part), part.centre
    if part.kind == BOX:
        return [Piece("box", tuple(max(s, _LEAST) for s in part.scale), centre, part.rotation, density=density)]
    if part.kind == SPHERE:
        return [Piece("ellipsoid", tuple(part.scale), centre, part.rotation, density=density)]
    if part.kind == ARC:
        return _tube_of_capsules(part, density)
    (sx, sy, sz), (r0, r1) = part.scale, part.shape[:2]
    if r0 == r1 and sx == sy:
        return [Piece("cylinder", (r0 * sx, sz), centre, part.rotation, density=density)]
    rings = np.concatenate([_ring(r0, -1.0), _ring(r1, 1.0)])
    return [Piece("hull", vertices=_to_object(part, rings), density=density)]


def _tube_of_capsules(part: Part, density: float) -> list[Piece]:
    tube, half_angle, taper = part.shape[:3]
    count = max(2, math.ceil(2.0 * half_angle / _ARC_STEP))
    angles = np.linspace(-half_angle, half_angle, count + 1)
    ends = _to_object(part, np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], 1))
    middles = (angles[1:] + angles[:-1]) / 2.0
    radii = part.scale[0] * tube * (1.0 - taper * (middles / half_angle) ** 4)
    return [
        Piece("capsule", (radius, float(np.linalg.norm(b - a)) / 2.0), tuple((a + b) / 2.0), _along(b - a),
              density=density)
        for a, b, radius in zip(ends[:-1], ends[1:], radii, strict=True)
    ]  # fmt: skip


def _along(direction: np.ndarray) -> np.ndarray:
    """A rotation whose z axis is this direction."""
    z = direction / np.linalg.norm(direction)
    x = np.cross(z, np.eye(3)[np.argmin(np.abs(z))])
    x /= np.linalg.norm(x)
    return np.column_stack([x, np.cross(z, x), z])


def _vessel(outer: Part, inner: Part) -> list[Piece]:
    """Floor and wall between two shells around the same upright axis."""
    bottom, top = outer.centre[2] + _heights(outer)[0], outer.centre[2] + _heights(outer)[1]
    floor = min(max(inner.centre[2] + _heights(inner)[0], bottom + 2.0 * _LEAST), top)
    density = _density(outer)
    levels = _SHELL_LEVELS if outer.kind == SPHERE else 1
    base = np.concatenate([_section(outer, z) for z in np.linspace(bottom, floor, levels + 1)])
    pieces = [Piece("hull", vertices=base, density=density)]
    # closer together at the top of a round wall, where it is steep
    edges = top - (top - floor) * np.cos(np.linspace(0.0, math.pi / 2.0, levels + 1))
    for low, high in itertools.pairwise(edges):
        rings = [_section(part, z) for part in (outer, inner) for z in (low, high)]
        for k in range(_SECTORS):
            pair = [k, (k + 1) % _SECTORS]
            corners = np.concatenate([ring[pair] for ring in rings])
            pieces.append(Piece("hull", vertices=corners, density=density))
    return pieces


def _heights(part: Part) -> tuple[float, float]:
    """Lowest and highest z of an upright shell, relative to its centre."""
    low, high = part.shape[:2] if part.kind == SPHERE else (-1.0, 1.0)
    return low * part.scale[2], high * part.scale[2]


def _section(part: Part, z: float) -> np.ndarray:
    """(_SECTORS, 3): an upright shell cut at a height of the object's frame."""
    local = min(max((z - part.centre[2]) / part.scale[2], -1.0), 1.0)
    if part.kind == SPHERE:
        radius = max(math.sqrt(1.0 - local * local), 0.02)
    else:
        radius = part.shape[0] + (part.shape[1] - part.shape[0]) * (local + 1.0) / 2.0
    return _to_object(part, _ring(radius, local, _SECTORS))


def _ring(radius: float, z: float, corners: int = _ROUND) -> np.ndarray:
    angle = np.arange(corners) * 2.0 * math.pi / corners
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(corners, z)], 1)


def _to_object(part: Part, local: np.ndarray) -> np.ndarray:
    return (local * part.scale) @ part.rotation.T + part.centre


def _on_surface(part: Part, spacing: float) -> np.ndarray:
    """Points on the primitive, caps of frustums included."""
    (sx, sy, sz), shape = part.scale, part.shape

    def count(length):
        return max(2, math.ceil(length / spacing) + 1)

    if part.kind == BOX:
        axes = [np.linspace(-1.0, 1.0, count(2.0 * s)) for s in (sx, sy, sz)]
        faces = []
        for fixed in range(3):
            a, b = (axes[i] for i in range(3) if i != fixed)
            grid = np.stack(np.meshgrid(a, b, indexing="ij"), -1).reshape(-1, 2)
            faces += [np.insert(grid, fixed, side, axis=1) for side in (-1.0, 1.0)]
        local = np.concatenate(faces)
    elif part.kind == ARC:
        tube, half, taper = shape[:3]
        along = np.linspace(-half, half, count(2.0 * half * sx))
        around = np.linspace(0.0, 2.0 * math.pi, count(2.0 * math.pi * tube * sx))[:-1]
        a, b = (grid.ravel() for grid in np.meshgrid(along, around, indexing="ij"))
        radius = tube * (1.0 - taper * (a / half) ** 4)
        out = 1.0 + radius * np.cos(b)
        local = np.stack([out * np.cos(a), out * np.sin(a), radius * np.sin(b)], 1)
    else:
        around = np.linspace(0.0, 2.0 * math.pi, count(2.0 * math.pi * max(sx, sy)))[:-1]
        if part.kind == SPHERE:
            turn = np.linspace(math.asin(shape[0]), math.asin(shape[1]), count(math.pi * max(sx, sz)))
            radius, z = np.cos(turn), np.sin(turn)
        else:
            z = np.linspace(-1.0, 1.0, count(2.0 * sz))
            radius = shape[0] + (shape[1] - shape[0]) * (z + 1.0) / 2.0
        angle, ring = np.meshgrid(around, np.arange(len(z)), indexing="ij")
        r, z = radius[ring.ravel()], z[ring.ravel()]
        local = np.stack([r * np.cos(angle.ravel()), r * np.sin(angle.ravel()), z], 1)
    return _to_object(part, local)
