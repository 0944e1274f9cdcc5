"""Numba ray-caster: visibility with exact depth, then shading with shadows. Single-threaded, releases the GIL."""

import math

from numba import njit

from lisa_ros.simulator.intersect import hit_primitive
from lisa_ros.simulator.parts import LABEL, PANEL, RINGS, SECTORS, SPECKLE, TIPS

# Columns of a primitive's row. INVERSE: (3, 3) world -> local; CENTRE: world m; BOUND: squared radius around it, m^2.
KIND, OBJECT, TEXTURE, GLOSS, SHAPE, COLOUR, COLOUR2, INVERSE, CENTRE, BOUND, COLUMNS = (
    0,
    1,
    2,
    3,
    4,
    8,
    11,
    14,
    23,
    26,
    27,
)
# Grounds: what a ray meets that meets no object.
TABLE, FLOOR, WALL = -1, -2, -3
_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_JIT)
def cast(prims, boxes, rotation, origin, intrinsics, depth, owner, normals, full_area, stamp):
    """Fills the buffers where objects are nearer than what they hold.

    depth: (H, W) m along the optical axis. owner: (H, W) primitive index. normals: (H, W, 3) in the world.
    boxes: (P, 4) int, pixel bounds [u0, v0, u1, v1) of each primitive; primitives of one object are consecutive.
    full_area: (objects + 1,), pixels that each object would cover alone.
    """
    fx, fy, cx, cy = intrinsics
    a = prims[0, INVERSE : INVERSE + 9].copy()
    for p in range(prims.shape[0]):
        row = prims[p]
        m = row[INVERSE : INVERSE + 9]
        obj = int(row[OBJECT])
        ex, ey, ez = origin[0] - row[CENTRE], origin[1] - row[CENTRE + 1], origin[2] - row[CENTRE + 2]
        ox = m[0] * ex + m[1] * ey + m[2] * ez
        oy = m[3] * ex + m[4] * ey + m[5] * ez
        oz = m[6] * ex + m[7] * ey + m[8] * ez
        for i in range(3):
            for j in range(3):
                a[3 * i + j] = m[3 * i] * rotation[0, j] + m[3 * i + 1] * rotation[1, j] + m[3 * i + 2] * rotation[2, j]
        kind = int(row[KIND])
        for v in range(boxes[p, 1], boxes[p, 3]):
            y = (v - cy) / fy
            for u in range(boxes[p, 0], boxes[p, 2]):
                x = (u - cx) / fx
                dx = a[0] * x + a[1] * y + a[2]
                dy = a[3] * x + a[4] * y + a[5]
                dz = a[6] * x + a[7] * y + a[8]
                t, nx, ny, nz = hit_primitive(
                    kind, row[SHAPE], row[SHAPE + 1], row[SHAPE + 2], row[SHAPE + 3], ox, oy, oz, dx, dy, dz, 0.02
                )
                if t < 0.0:
                    continue
                if stamp[v, u] != obj:
                    stamp[v, u] = obj
                    full_area[obj] += 1
                if t >= depth[v, u]:
                    continue
                depth[v, u] = t
                owner[v, u] = p
                if nx * dx + ny * dy + nz * dz > 0.0:  # the inside of an open shell
                    nx, ny, nz = -nx, -ny, -nz
                wx = m[0] * nx + m[3] * ny + m[6] * nz
                wy = m[1] * nx + m[4] * ny + m[7] * nz
                wz = m[2] * nx + m[5] * ny + m[8] * nz
                scale = 1.0 / math.sqrt(wx * wx + wy * wy + wz * wz + 1e-30)
                normals[v, u, 0], normals[v, u, 1], normals[v, u, 2] = wx * scale, wy * scale, wz * scale


@njit(**_JIT)
def cast_ground(rotation, origin, intrinsics, table, depth, owner, normals):
    """Fills the buffers with the table top (z = 0, a turned rectangle), the floor and one wall.

    table: [half x, half y, cos, sin of its yaw, floor height, wall normal x, wall normal y, wall distance].
    """
    fx, fy, cx, cy = intrinsics
    height, width = depth.shape
    for v in range(height):
        y = (v - cy) / fy
        for u in range(width):
            x = (u - cx) / fx
            dx = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2]
            dy = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2]
            dz = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2]
            t = -origin[2] / dz if dz < -1e-9 else -1.0
            if t > 0.0:
                px, py = origin[0] + t * dx, origin[1] + t * dy
                if abs(px * table[2] + py * table[3]) <= table[0] and abs(py * table[2] - px * table[3]) <= table[1]:
                    depth[v, u], owner[v, u] = t, TABLE
                    normals[v, u, 0], normals[v, u, 1], normals[v, u, 2] = 0.0, 0.0, 1.0
                    continue
            t = (table[4] - origin[2]) / dz if dz < -1e-9 else 1e9
            along = dx * table[5] + dy * table[6]
            wall = (table[7] - origin[0] * table[5] - origin[1] * table[6]) / along if along > 1e-9 else 1e9
            if t <= wall:
                depth[v, u], owner[v, u] = t, FLOOR
                normals[v, u, 0], normals[v, u, 1], normals[v, u, 2] = 0.0, 0.0, 1.0
            else:
                depth[v, u], owner[v, u] = wall, WALL
                normals[v, u, 0], normals[v, u, 1], normals[v, u, 2] = -table[5], -table[6], 0.0


@njit(**_JIT)
def _hash(ix, iy, iz):
    h = (ix * 374761393 + iy * 668265263 + iz * 2147483647) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65535.0


@njit(**_JIT)
def _noise(x, y, seed):
    """Value noise in 0..1 on a unit lattice."""
    ix, iy = int(math.floor(x)), int(math.floor(y))
    fx, fy = x - ix, y - iy
    fx, fy = fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy)
    top = _hash(ix, iy, seed) * (1 - fx) + _hash(ix + 1, iy, seed) * fx
    low = _hash(ix, iy + 1, seed) * (1 - fx) + _hash(ix + 1, iy + 1, seed) * fx
    return top * (1 - fy) + low * fy


@njit(**_JIT)
def _ground_mix(kind, x, y, scale, seed):
    """Share of the second colour at a point (m) of a ground. Kinds 0-5 are training textures, 6-9 unseen ones."""
    x, y = x * scale, y * scale
    if kind == 1:  # wood
        grain = _noise(x * 0.7, y * 9.0, seed) + 0.5 * _noise(x * 2.0, y * 31.0, seed + 1)
        return 0.67 * grain
    if kind == 2:  # checker
        return float((int(math.floor(x)) + int(math.floor(y))) & 1)
    if kind == 3:  # cloudy
        return 0.6 * _noise(x, y, seed) + 0.4 * _noise(x * 3.1, y * 3.1, seed + 1)
    if kind == 4:  # planks: wood with seams
        board = math.floor(y)
        seam = 1.0 if y - board < 0.04 else 0.0
        return max(seam, 0.3 * _hash(int(board), 7, seed) + 0.5 * _noise(x * 0.6 + 17.0 * board, y * 8.0, seed))
    if kind == 5:  # terrazzo
        return 1.0 if _noise(x * 2.3, y * 2.3, seed) > 0.72 else 0.15 * _noise(x * 9.0, y * 9.0, seed + 1)
    if kind == 6:  # gingham
        return 0.5 * (int(math.floor(x)) & 1) + 0.5 * (int(math.floor(y)) & 1)
    if kind == 7:  # dots
        gx, gy = x - math.floor(x) - 0.5, y - math.floor(y) - 0.5
        return 1.0 if gx * gx + gy * gy < 0.07 else 0.0
    if kind == 8:  # marble
        return 0.5 + 0.5 * math.sin(3.0 * x + 6.0 * _noise(x, y, seed) + 2.0 * _noise(x * 3.0, y * 3.0, seed + 1))
    if kind == 9:  # diagonal stripes
        return 1.0 if (x + y) - math.floor(x + y) < 0.4 else 0.0
    return 0.0


@njit(**_JIT)
def _part_mix(prims, p, wx, wy, wz):
    """Share of the second colour at a world point of a primitive."""
    texture = int(prims[p, TEXTURE])
    if texture == 0:
        return 0.0
    row = prims[p]
    m = row[INVERSE : INVERSE + 9]
    ex, ey, ez = wx - row[CENTRE], wy - row[CENTRE + 1], wz - row[CENTRE + 2]
    x = m[0] * ex + m[1] * ey + m[2] * ez
    y = m[3] * ex + m[4] * ey + m[5] * ez
    z = m[6] * ex + m[7] * ey + m[8] * ez
    if texture == SECTORS:
        turn = math.atan2(y, x) * 3.0 / math.pi
        return 1.0 if (int(math.floor(turn)) & 1) == 1 and abs(z) < 0.93 else 0.0
    if texture == RINGS:
        return 1.0 if (z * 6.0) - math.floor(z * 6.0) < 0.22 else 0.0
    if texture == SPECKLE:
        return 1.0 if _noise(x * 9.0 + 40.0, y * 9.0 + z * 9.0, 3) > 0.8 else 0.0
    if texture == PANEL:
        return 1.0 if z > 0.9 and abs(x) < 0.55 and abs(y + 0.3) < 0.28 else 0.0
    if texture == TIPS:
        share = abs(math.atan2(y, x)) / row[SHAPE + 1]
        return 1.0 if share > 0.93 else (0.8 if _noise(x * 30.0, y * 30.0 + z * 30.0, 5) > 0.9 else 0.0)
    if texture == LABEL:
        return 1.0 if abs(z + 0.1) < 0.42 else 0.0
    return 0.0


@njit(**_JIT)
def _blocked(prims, spheres, first, near, px, py, pz, lx, ly, lz):
    """Whether one of the objects in the bit set `near` stands between a point and a far light in direction l (unit)."""
    for obj in range(spheres.shape[0]):
        if (near >> obj) & 1 == 0:
            continue
        ex, ey, ez = spheres[obj, 0] - px, spheres[obj, 1] - py, spheres[obj, 2] - pz
        along = ex * lx + ey * ly + ez * lz
        if ex * ex + ey * ey + ez * ez - along * along > spheres[obj, 3] * spheres[obj, 3]:
            continue
        for p in range(first[obj], first[obj + 1]):
            ex, ey, ez = px - prims[p, CENTRE], py - prims[p, CENTRE + 1], pz - prims[p, CENTRE + 2]
            along = ex * lx + ey * ly + ez * lz
            if ex * ex + ey * ey + ez * ez - along * along > prims[p, BOUND]:
                continue
            m0, m1, m2 = prims[p, INVERSE], prims[p, INVERSE + 1], prims[p, INVERSE + 2]
            m3, m4, m5 = prims[p, INVERSE + 3], prims[p, INVERSE + 4], prims[p, INVERSE + 5]
            m6, m7, m8 = prims[p, INVERSE + 6], prims[p, INVERSE + 7], prims[p, INVERSE + 8]
            t, _, _, _ = hit_primitive(
                int(prims[p, KIND]), prims[p, SHAPE], prims[p, SHAPE + 1], prims[p, SHAPE + 2], prims[p, SHAPE + 3],
                m0 * ex + m1 * ey + m2 * ez, m3 * ex + m4 * ey + m5 * ez, m6 * ex + m7 * ey + m8 * ez,
                m0 * lx + m1 * ly + m2 * lz, m3 * lx + m4 * ly + m5 * lz, m6 * lx + m7 * ly + m8 * lz, 1e-5,
            )  # fmt: skip
            if t > 0.0:
                return True
    return False


@njit(**_JIT)
def _near_light(spheres, margin, px, py, pz, lx, ly, lz):
    """Bit set of the objects whose bounding spheres, widened for the lamp's angular radius, are on the way to it."""
    near = 0
    for obj in range(spheres.shape[0]):
        ex, ey, ez = spheres[obj, 0] - px, spheres[obj, 1] - py, spheres[obj, 2] - pz
        along = ex * lx + ey * ly + ez * lz
        radius = spheres[obj, 3] + margin * max(along, 0.0)
        if along > -radius and ex * ex + ey * ey + ez * ez - along * along < radius * radius:
            near |= 1 << obj
    return near


@njit(**_JIT)
def _light_share(prims, spheres, first, light, near, turn, px, py, pz):
    """Share of the lamp that a point sees. The first two of the samples decide where they agree."""
    samples, hidden = int(light[10]), 0
    for k in range(samples):
        reach = light[9] * math.sqrt((k + 0.5) / samples)
        angle = turn + 2.39996 * k
        sx, sy = reach * math.cos(angle), reach * math.sin(angle)
        # any two directions across the light will do: (-ly, lx, 0) and its cross product, as the light is never level
        lx = light[0] - sx * light[1] - sy * light[0] * light[2]
        ly = light[1] + sx * light[0] - sy * light[1] * light[2]
        lz = light[2] + sy * (light[0] * light[0] + light[1] * light[1])
        if _blocked(prims, spheres, first, near, px, py, pz, lx, ly, lz):
            hidden += 1
        if k == 1 and hidden != 1:
            return 1.0 - hidden / 2
    return 1.0 - hidden / samples


@njit(**_JIT)
def shade(prims, spheres, first, rotation, origin, intrinsics, light, grounds, depth, owner, normals, image):
    """Fills image (H, W, 3) float32, linear RGB.

    light: [direction to it (3), colour (3), ambient (3), angular radius of the lamp (rad), shadow samples].
    grounds: (3, 9) for table, floor, wall: [texture, scale 1/m, seed, colour (3), second colour (3)].
    """
    fx, fy, cx, cy = intrinsics
    height, width = depth.shape
    for v in range(height):
        y = (v - cy) / fy
        for u in range(width):
            x = (u - cx) / fx
            t = depth[v, u]
            dx = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2]
            dy = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2]
            dz = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2]
            px, py, pz = origin[0] + t * dx, origin[1] + t * dy, origin[2] + t * dz
            nx, ny, nz = normals[v, u, 0], normals[v, u, 1], normals[v, u, 2]
            p = owner[v, u]
            gloss = 0.0
            if p >= 0:
                rows, i, base, second = prims, p, COLOUR, COLOUR2
                mix = _part_mix(prims, p, px, py, pz)
                gloss = prims[p, GLOSS]
            else:
                rows, i, base, second = grounds, -p - 1, 3, 6
                along, across = (px + py, pz) if p == WALL else (px, py)
                mix = _ground_mix(int(grounds[i, 0]), along, across, grounds[i, 1], int(grounds[i, 2]))
            facing = nx * light[0] + ny * light[1] + nz * light[2]
            lit = 0.0
            if facing > 0.0:
                lit = 1.0
                bx, by, bz = px + 4e-4 * nx, py + 4e-4 * ny, pz + 4e-4 * nz
                if p != FLOOR and p != WALL:
                    near = _near_light(spheres, light[9], bx, by, bz, light[0], light[1], light[2])
                    if near:
                        lit = _light_share(prims, spheres, first, light, near, 6.2832 * _hash(u, v, 11), bx, by, bz)
            shine = 0.0
            if gloss > 0.0 and lit > 0.0:
                scale = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
                rx, ry, rz = light[0] - 2 * facing * nx, light[1] - 2 * facing * ny, light[2] - 2 * facing * nz
                mirror = (rx * dx + ry * dy + rz * dz) * scale
                if mirror > 0.0:
                    shine = 0.5 * gloss * lit * mirror**24
            sky = 0.65 + 0.35 * nz
            for c in range(3):
                albedo = rows[i, base + c] * (1.0 - mix) + rows[i, second + c] * mix
                image[v, u, c] = albedo * (light[6 + c] * sky + light[3 + c] * facing * lit) + shine * light[3 + c]
