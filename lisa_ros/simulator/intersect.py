"""Ray-primitive intersections. A primitive lives in a local frame of unit size; ray directions are not normalised.

Shapes (local frame), with their parameters a, b, c, d:
  BOX      [-1, 1]^3.
  SPHERE   x^2 + y^2 + z^2 = 1, kept where a <= z <= b (an open shell unless a = -1 and b = 1).
  FRUSTUM  axis z in [-1, 1], radius a at z = -1 and b at z = 1; c: caps (1 top, 2 bottom, 3 both); d: radius of a
           hole in the top cap.
  ARC      tube around an arc of the unit circle in the xy plane, |angle to +x| <= b, tube radius a, thinned by c at its
           ends. Needs a uniform scale (it is sphere-traced).
"""

import math

from numba import njit

BOX, SPHERE, FRUSTUM, ARC = 0, 1, 2, 3
MISS = -1.0
_EPS = 1e-6
_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_JIT)
def _hit_box(ox, oy, oz, dx, dy, dz, near):
    low, high = -1e30, 1e30
    low_axis, high_axis = 0, 0
    for axis in range(3):
        o = ox if axis == 0 else (oy if axis == 1 else oz)
        d = dx if axis == 0 else (dy if axis == 1 else dz)
        if abs(d) < 1e-12:
            if abs(o) > 1.0:
                return MISS, 0.0, 0.0, 0.0
            continue
        enter, leave = (-1.0 - o) / d, (1.0 - o) / d
        if enter > leave:
            enter, leave = leave, enter
        if enter > low:
            low, low_axis = enter, axis
        if leave < high:
            high, high_axis = leave, axis
    if low > high or high < near:
        return MISS, 0.0, 0.0, 0.0
    t, axis = (low, low_axis) if low > near else (high, high_axis)
    if axis == 0:
        return t, (1.0 if ox + t * dx > 0 else -1.0), 0.0, 0.0
    if axis == 1:
        return t, 0.0, (1.0 if oy + t * dy > 0 else -1.0), 0.0
    return t, 0.0, 0.0, (1.0 if oz + t * dz > 0 else -1.0)


@njit(**_JIT)
def _hit_sphere(ox, oy, oz, dx, dy, dz, z_low, z_high, near):
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    c = ox * ox + oy * oy + oz * oz - 1.0
    disc = b * b - a * c
    if disc < 0.0:
        return MISS, 0.0, 0.0, 0.0
    root = math.sqrt(disc)
    for k in range(2):
        t = (-b - root) / a if k == 0 else (-b + root) / a
        if t > near:
            z = oz + t * dz
            if z_low - _EPS <= z <= z_high + _EPS:
                return t, ox + t * dx, oy + t * dy, z
    return MISS, 0.0, 0.0, 0.0


@njit(**_JIT)
def _hit_frustum(ox, oy, oz, dx, dy, dz, r0, r1, caps, hole, near):
    best = 1e30
    nx = ny = nz = 0.0
    mid, slope = 0.5 * (r0 + r1), 0.5 * (r1 - r0)
    ro, rd = mid + slope * oz, slope * dz
    a = dx * dx + dy * dy - rd * rd
    b = ox * dx + oy * dy - ro * rd
    c = ox * ox + oy * oy - ro * ro
    disc = b * b - a * c
    if disc >= 0.0 and abs(a) > 1e-14:
        root = math.sqrt(disc)
        for k in range(2):
            t = (-b - root) / a if k == 0 else (-b + root) / a
            z = oz + t * dz
            if near < t < best and -1.0 <= z <= 1.0 and mid + slope * z >= 0.0:
                best = t
                nx, ny, nz = ox + t * dx, oy + t * dy, -slope * (mid + slope * z)
    if abs(dz) > 1e-12:
        for k in range(2):
            if (int(caps) >> k) & 1 == 0:
                continue
            level = 1.0 if k == 0 else -1.0
            t = (level - oz) / dz
            if near < t < best:
                x, y = ox + t * dx, oy + t * dy
                square = x * x + y * y
                radius = r1 if k == 0 else r0
                inner = hole if k == 0 else 0.0
                if inner * inner <= square <= radius * radius:
                    best = t
                    nx, ny, nz = 0.0, 0.0, level
    if best > 1e29:
        return MISS, 0.0, 0.0, 0.0
    return best, nx, ny, nz


@njit(**_JIT)
def _arc_nearest(x, y, half_angle):
    """Point of the arc nearest to (x, y), and its angle."""
    angle = math.atan2(y, x)
    angle = min(max(angle, -half_angle), half_angle)
    return math.cos(angle), math.sin(angle), angle


@njit(**_JIT)
def _hit_arc(ox, oy, oz, dx, dy, dz, radius, half_angle, taper, near):
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    bound = 1.0 + radius
    b = (ox * dx + oy * dy + oz * dz) / (length * length)
    disc = b * b - (ox * ox + oy * oy + oz * oz - bound * bound) / (length * length)
    if disc < 0.0:
        return MISS, 0.0, 0.0, 0.0
    t = max(near, -b - math.sqrt(disc))
    end = -b + math.sqrt(disc)
    for _ in range(64):
        if t > end:
            break
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        ax, ay, angle = _arc_nearest(x, y, half_angle)
        share = angle / half_angle
        share *= share
        tube = radius * (1.0 - taper * share * share)
        distance = math.sqrt((x - ax) ** 2 + (y - ay) ** 2 + z * z) - tube
        if distance < 2e-4 * radius:
            return t, x - ax, y - ay, z
        t += 0.9 * distance / length
    return MISS, 0.0, 0.0, 0.0


@njit(**_JIT)
def hit_primitive(kind, a, b, c, d, ox, oy, oz, dx, dy, dz, near):
    """Nearest hit with t > near, as (t, normal), or t = MISS. The normal is local, not normalised, on either side."""
    if kind == BOX:
        return _hit_box(ox, oy, oz, dx, dy, dz, near)
    if kind == SPHERE:
        return _hit_sphere(ox, oy, oz, dx, dy, dz, a, b, near)
    if kind == FRUSTUM:
        return _hit_frustum(ox, oy, oz, dx, dy, dz, a, b, c, d, near)
    return _hit_arc(ox, oy, oz, dx, dy, dz, a, b, c, near)
