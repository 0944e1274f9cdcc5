"""Which pixels of a depth image are surface: flying pixels, stray points and leaks of the background told apart.

A depth camera mixes the distances of object and background where one ends before the other (flying pixels), and its
edges are not quite where the colour image's are. Both are told by the depth itself, so that pixels at the rim which
were measured well stay: taking off a rim blindly costs some 8 mm of an object's width.
"""

import numpy as np
from numba import njit

_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}

# Neighbours are one surface where their depth differs by at most max(slope * z, spread * z²) m at z m: `slope` for
# surfaces that fall away from the camera, `spread` so that the noise of the depth is no jump.
JUMP_SIGMAS = 5.0


def noise_of(depth_m: np.ndarray) -> float:
    """Noise of the depth as a standard deviation in m at 1 m; it grows with the square of the distance.

    depth_m: (h, w) m, 0 or NaN where there is none. From second differences of inverse depth along some rows, which
    vanish on planes; the median is not moved by edges. Neighbours in a stereo image err alike, so that this is a lower
    bound. 0 without pixels.
    """
    rows = depth_m[:: max(1, depth_m.shape[0] // 60)]
    before, middle, after = rows[:, :-8:3], rows[:, 4:-4:3], rows[:, 8::3]
    usable = (before > 0) & (middle > 0) & (after > 0)
    bend = np.abs(1 / before[usable] + 1 / after[usable] - 2 / middle[usable])
    return float(np.median(bend) / (0.6745 * np.sqrt(6))) if bend.size else 0.0


@njit(**_JIT)
def flying_pixels(depth, valid, chosen, slope, spread):
    """(h, w) bool: pixels of `chosen` between a nearer and a farther surface, belonging to neither.

    depth: (h, w) float32 m. valid: (h, w) bool, where it holds.
    """
    height, width = depth.shape
    flying = np.zeros((height, width), np.bool_)
    for v in range(height):
        for u in range(width):
            if not chosen[v, u]:
                continue
            z = depth[v, u]
            for k in range(4):
                dv = 0 if k == 0 else 1
                du = 1 if k == 0 else k - 2  # right, down left, down, down right
                if not (v - dv >= 0 and v + dv < height and 0 <= u - du < width and 0 <= u + du < width):
                    continue
                if not (valid[v - dv, u - du] and valid[v + dv, u + du]):
                    continue
                step = 1.4142 if dv * du != 0 else 1.0
                limit = max(slope * z * step, spread * z * z)
                first, second = z - depth[v - dv, u - du], depth[v + dv, u + du] - z
                if (first > limit and second > limit) or (first < -limit and second < -limit):
                    flying[v, u] = True
                    break
    return flying


@njit(**_JIT)
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(**_JIT)
def label_surfaces(depth, chosen, slope, spread):
    """(h, w) int32: 0 outside `chosen`, else the number of the connected surface, over which depth has no jump."""
    height, width = depth.shape
    labels = np.zeros((height, width), np.int32)
    parent = np.zeros(height * width // 2 + 2, np.int32)
    count = 0
    for v in range(height):
        for u in range(width):
            if not chosen[v, u]:
                continue
            z = depth[v, u]
            limit = max(slope * z, spread * z * z)
            own = 0
            for k in range(4):  # left, up left, up, up right
                dv = 0 if k == 0 else -1
                du = -1 if k == 0 else k - 2
                if v + dv < 0 or not 0 <= u + du < width or not chosen[v + dv, u + du]:
                    continue
                step = 1.4142 if dv * du != 0 else 1.0
                if abs(depth[v + dv, u + du] - z) > limit * step:
                    continue
                other = _root(parent, labels[v + dv, u + du])
                if own == 0:
                    own = other
                elif own != other:
                    low, high = min(own, other), max(own, other)
                    parent[high] = low
                    own = low
            if own == 0:
                count += 1
                own = count
                parent[own] = own
            labels[v, u] = own
    number = np.zeros(count + 1, np.int32)
    used = 0
    for i in range(1, count + 1):
        root = _root(parent, i)
        if number[root] == 0:
            used += 1
            number[root] = used
        number[i] = number[root]
    for v in range(height):
        for u in range(width):
            labels[v, u] = number[labels[v, u]]
    return labels


@njit(**_JIT)
def surface_facts(depth, valid, inside, labels, count, slope, spread):
    """(count + 1, 3) int64 for each label: pixels, rim, leaks.

    rim: steps from a pixel of the surface to one outside the mask `inside`. leaks: those of them over which depth goes
    on without a jump, so that the surface may be one that the mask cuts through.
    """
    facts = np.zeros((count + 1, 3), np.int64)
    height, width = depth.shape
    for v in range(height):
        for u in range(width):
            label = labels[v, u]
            if label == 0:
                continue
            facts[label, 0] += 1
            z = depth[v, u]
            limit = max(slope * z, spread * z * z)
            for k in range(4):
                dv, du = (1, 0) if k == 0 else (-1, 0) if k == 1 else (0, 1) if k == 2 else (0, -1)
                if 0 <= v + dv < height and 0 <= u + du < width and not inside[v + dv, u + du]:
                    facts[label, 1] += 1
                    if valid[v + dv, u + du] and abs(depth[v + dv, u + du] - z) <= limit:
                        facts[label, 2] += 1
    return facts


@njit(**_JIT)
def stray_pixels(depth, chosen, footprint, noise, neighbours, radius):
    """(h, w) bool: pixels of `chosen` with fewer than `neighbours` others of them within `radius` footprints in space.

    footprint: of a pixel, noise: standard deviation, by which neighbours may differ as well, both in m at 1 m.
    Neighbours are looked for in a window of the image, as nothing within the radius can be seen outside of it.
    """
    height, width = depth.shape
    stray = np.zeros((height, width), np.bool_)
    reach = int(np.ceil(radius))
    for v in range(height):
        for u in range(width):
            if not chosen[v, u]:
                continue
            z = depth[v, u]
            size = footprint * z
            limit = (radius * size) ** 2 + (noise * z * z) ** 2
            found = 0
            if 0 < v < height - 1 and 0 < u < width - 1:
                found = _beside(depth, chosen, v, u, size * size, limit)
            if found < neighbours:
                stray[v, u] = _is_stray(depth, chosen, v, u, size, limit, neighbours, reach)
    return stray


@njit(**_JIT)
def _beside(depth, chosen, v, u, square, limit):
    """How many of the eight pixels around one are neighbours in space; without branches, which noise would mislead."""
    z, found = depth[v, u], 0
    for dv in range(-1, 2):
        for du in range(-1, 2):
            dz = depth[v + dv, u + du] - z
            found += chosen[v + dv, u + du] & (dz * dz + (dv * dv + du * du) * square <= limit)
    return found - 1  # itself


@njit(**_JIT)
def _is_stray(depth, chosen, v, u, size, limit, neighbours, reach):
    height, width = depth.shape
    z = depth[v, u]
    found = 0
    for ring in range(1, reach + 1):  # the nearest ones decide mostly
        for dv in range(-ring, ring + 1):
            if v + dv < 0 or v + dv >= height:
                continue
            step = 1 if abs(dv) == ring else 2 * ring
            for du in range(-ring, ring + 1, step):
                if u + du < 0 or u + du >= width or not chosen[v + dv, u + du]:
                    continue
                dz = depth[v + dv, u + du] - z
                if dz * dz + (dv * dv + du * du) * size * size <= limit:
                    found += 1
                    if found >= neighbours:
                        return False
    return True


@njit(**_JIT)
def smoothed(depth, labels, slope, spread, reach):
    """(h, w) float32 m: means over windows of (2 * reach + 1)² pixels of the same surface, 0 where `labels` is 0.

    Inverse depth is averaged, which is linear over a plane, and over pairs of opposite pixels, so that the mean at a
    rim is not drawn to the inside.
    """
    height, width = depth.shape
    result = np.zeros((height, width), np.float32)
    inverse = np.zeros((height, width), np.float32)
    for v in range(height):
        for u in range(width):
            if labels[v, u] > 0:
                inverse[v, u] = 1.0 / depth[v, u]
    for v in range(height):
        for u in range(width):
            label = labels[v, u]
            if label == 0:
                continue
            z = depth[v, u]
            limit = max(reach * slope * z, spread * z * z) / (z * z)  # of inverse depth
            own = inverse[v, u]
            total, count = own, 1
            inner = reach <= v < height - reach and reach <= u < width - reach
            for dv in range(reach + 1):
                for du in range(-reach if dv > 0 else 1, reach + 1):
                    if not inner and not (
                        v - dv >= 0 and v + dv < height and 0 <= u - du < width and 0 <= u + du < width
                    ):
                        continue
                    if labels[v + dv, u + du] != label or labels[v - dv, u - du] != label:
                        continue
                    first, second = inverse[v + dv, u + du], inverse[v - dv, u - du]
                    if abs(first - own) <= limit and abs(second - own) <= limit:
                        total += first + second
                        count += 2
            result[v, u] = count / total
    return result
