"""Depth images as real sensors give them: `noisy_depth` turns exact depth into that of a Kinect or a RealSense."""

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import cv2
import numpy as np
from numba import njit

from lisa_ros.errors import ConfigurationError, InvalidImageError

_STEEPEST = 6.0  # slope of depth over the lateral size of a pixel (80 degrees) up to which neighbours are one surface
_CONTINUED = 0.5  # and beyond it where the next difference on either side is alike within this share
_NEAREST = 1e-3  # m, nearer than any sensor sees
_NOISE_STREAM = 1  # separates the depth noise of a frame from its image noise, which is drawn from (seed, frame)
_NORMAL_BITS = 12  # of 32 random bits; the others decide what is lost
_NORMAL_MASK, _PER_REST = 2**_NORMAL_BITS - 1, 2.0 ** (_NORMAL_BITS - 32)
_JIT = {"cache": True, "nogil": True, "error_model": "numpy"}


@dataclass(frozen=True)
class DepthSensor:
    """Errors of a depth sensor that triangulates between two viewpoints.

    Attributes:
        focal: Focal length in px of the sensor's own infrared image; noise per metre does not depend on the image that
            the depth is registered to.
        baseline: m; the second viewpoint is on the right of the camera (+x), so that shadows fall left of objects.
        disparity_step: px, to which disparities are rounded.
        near: m, nearest depth.
        far: m, farthest depth.
        sigma: Standard deviation of the axial noise in m, as (constant, factor of (z - 0.4 m)^2, factor of z^2), with
            rounding included.
        sigma_grazing: Factor of angle^2 / (pi/2 - angle)^2 / sqrt(z), added to sigma for angles of incidence over 60
            degrees.
        lateral: px of the sensor, by which edges of objects move.
        mixed: Share of edge pixels with a depth between the two surfaces (flying pixels).
        grazing: Degrees of incidence from which pixels begin to be lost, and at which all are lost.
        dropout: Share of pixels lost at random.
    """

    focal: float
    baseline: float
    disparity_step: float
    near: float
    far: float
    sigma: tuple[float, float, float]
    sigma_grazing: float
    lateral: float
    mixed: float
    grazing: tuple[float, float]
    dropout: float


_REALSENSE_FOCAL, _REALSENSE_BASELINE, _REALSENSE_SUBPIXEL = 425.0, 0.05, 0.08
SENSORS = {
    "kinect": DepthSensor(
        focal=580.0, baseline=0.075, disparity_step=1 / 8, near=0.4, far=5.0,
        sigma=(0.0012, 0.0019, 0.0), sigma_grazing=0.0001, lateral=0.8, mixed=0.2, grazing=(75.0, 88.0), dropout=0.002,
    ),
    "realsense": DepthSensor(
        focal=_REALSENSE_FOCAL, baseline=_REALSENSE_BASELINE, disparity_step=1 / 32, near=0.2, far=6.0,
        sigma=(0.0, 0.0, _REALSENSE_SUBPIXEL / (_REALSENSE_FOCAL * _REALSENSE_BASELINE)), sigma_grazing=0.0,
        lateral=1.0, mixed=0.5, grazing=(78.0, 89.0), dropout=0.005,
    ),
}  # fmt: skip
MODELS = ("none", *SENSORS)


def noisy_depth(depth: np.ndarray, intrinsics: np.ndarray, model: str, rng: np.random.Generator) -> np.ndarray:
    """Depth as a sensor measures it.

    "kinect" (the first, structured light): axial noise 1.2 mm + 1.9 mm/m^2 (z - 0.4 m)^2, its growth at grazing
    incidence and lateral noise of 0.8 px, all of Nguyen, Izadi and Lovell, "Modeling Kinect Sensor Noise for Improved
    3D Reconstruction and Tracking", 3DIMPVT 2012; focal length 580 px, baseline 75 mm and disparities in eighths of a
    pixel of Khoshelham and Elberink, "Accuracy and Resolution of Kinect Depth Data for Indoor Mapping Applications",
    Sensors 12, 2012. "realsense" (D435 at 848x480, stereo): disparity noise 0.08 px, hence z^2 * 0.08 / (f b), after
    Intel's tuning guide for D400 cameras; baseline 50 mm and focal length 425 px from its data sheet; disparities in
    1/32 px.

    Both: pixels at depth jumps move over the edge and some lie between the two surfaces; there are holes where the
    second viewpoint sees no surface (shadows beside objects), at grazing incidence, out of range and at random. The
    shares of flying pixels and dropouts and the limits of grazing incidence are not published figures; they were chosen
    to resemble images of these sensors. Noise of neighbouring pixels is independent, and effects of the surface's
    material (black, glass, metal) are not modelled.

    Args:
        depth: (H, W) float, m along the optical axis; 0, NaN and Inf are no depth and stay so. It is not changed.
        intrinsics: (3, 3), px, of this image.
        model: "none" (a copy), "kinect" or "realsense".
        rng: The same state gives the same noise; "none" does not use it.

    Returns:
        (H, W) float32 m, 0 = none.

    Raises:
        ConfigurationError: If the model is unknown.
        InvalidImageError: If depth or intrinsics have another shape or dtype.
    """
    if model not in MODELS:
        raise ConfigurationError(f"depth noise {model!r}: choose one of {', '.join(MODELS)}")
    depth, intrinsics = np.asarray(depth), np.asarray(intrinsics, np.float64)
    if depth.ndim != 2 or depth.size == 0 or depth.dtype.kind != "f":
        raise InvalidImageError(f"depth must be (H, W) float in m, got {depth.shape} {depth.dtype}")
    if intrinsics.shape != (3, 3):
        raise InvalidImageError(f"intrinsics must be a (3, 3) matrix, got {intrinsics.shape}")
    exact = np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)
    return exact if model == "none" else _measured(exact, intrinsics, SENSORS[model], rng)


def frame_rng(seed: int, time: float) -> np.random.Generator:
    """The generator of the depth noise of a frame; the same frame always gets the same noise.

    Args:
        seed: Of the scene.
        time: Seconds as of `scene_at`, rounded to whole milliseconds like the image's own noise.

    Returns:
        A generator for `noisy_depth`.
    """
    return np.random.default_rng((seed, round(time * 1000.0), _NOISE_STREAM))


def _measured(exact: np.ndarray, k: np.ndarray, sensor: DepthSensor, rng: np.random.Generator) -> np.ndarray:
    camera = (k[0, 0], k[1, 1], k[0, 2], k[1, 2])
    lateral = sensor.lateral * k[0, 0] / sensor.focal  # an angle of the sensor in pixels of this image
    inverse = np.divide(1.0, exact, out=np.zeros_like(exact), where=exact > _NEAREST)
    cosine, edges = np.empty_like(exact), np.empty(exact.shape, np.uint8)
    _surfaces(inverse, camera, cosine, edges)
    reach = max(1, math.ceil(2.0 * lateral))
    edges = cv2.dilate(edges, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    source = exact.copy()
    wandering = rng.integers(0, 2**32, (cv2.countNonZero(edges), 2), dtype=np.uint32)
    _wander(exact, camera, edges, wandering, lateral, reach + 1, sensor.mixed, _normal(), source)
    bits = rng.integers(0, 2**32, exact.shape, dtype=np.uint32)
    _sense(
        source, cosine, bits, _normal(), sensor.focal * sensor.baseline, sensor.disparity_step,
        (*sensor.sigma, sensor.sigma_grazing), np.radians(sensor.grazing), sensor.dropout, (sensor.near, sensor.far),
    )  # fmt: skip
    _cast_shadows(exact, k[0, 0] * sensor.baseline, source)
    return source


@cache
def _normal() -> np.ndarray:
    """(2^_NORMAL_BITS,) float32: equally likely values of a standard normal distribution, up to 3.7.

    Looked up by random bits, they cost a fifth of numpy's `standard_normal`, half of all the noise's time.
    """
    count = 2**_NORMAL_BITS
    return np.array([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)], np.float32)


@njit(**_JIT)
def _surfaces(inverse, camera, cosine, edges):
    """Cosine of the incidence (between ray and normal; 1 where there is no depth) and the pixels beside a depth jump.

    inverse: 1/depth, 0 = none. It is linear over the image of a plane, so that its differences give the exact normal of
    flat surfaces. Of the two differences along an axis the smaller one counts: across an edge there is no surface.
    """
    fx, fy, cx, cy = np.float32(camera[0]), np.float32(camera[1]), np.float32(camera[2]), np.float32(camera[3])
    height, width = inverse.shape
    one = np.float32(1.0)
    limit, per_fx = np.float32(_STEEPEST) / fx, one / fx
    for v in range(height):
        y = (np.float32(v) - cy) / fy
        for u in range(width):
            w = inverse[v, u]
            cosine[v, u], edges[v, u] = 1.0, 0
            if w <= 0.0:
                continue
            left = inverse[v, u - 1] - w if u > 0 and inverse[v, u - 1] > 0.0 else np.float32(np.inf)
            right = inverse[v, u + 1] - w if u + 1 < width and inverse[v, u + 1] > 0.0 else np.float32(np.inf)
            above = inverse[v - 1, u] - w if v > 0 and inverse[v - 1, u] > 0.0 else np.float32(np.inf)
            below = inverse[v + 1, u] - w if v + 1 < height and inverse[v + 1, u] > 0.0 else np.float32(np.inf)
            if (
                (abs(left) > limit * min(w, w + left) and _jumps(inverse, v, u, 0, -1, left))
                or (abs(right) > limit * min(w, w + right) and _jumps(inverse, v, u, 0, 1, right))
                or (abs(above) > limit * min(w, w + above) and _jumps(inverse, v, u, -1, 0, above))
                or (abs(below) > limit * min(w, w + below) and _jumps(inverse, v, u, 1, 0, below))
            ):
                edges[v, u] = 1
            gx = -left if abs(left) < abs(right) else right
            gy = -above if abs(above) < abs(below) else below
            gx = gx * fx if abs(gx) < np.inf else np.float32(0.0)
            gy = gy * fy if abs(gy) < np.inf else np.float32(0.0)
            x = (np.float32(u) - cx) * per_fx
            gz = w - x * gx - y * gy
            cosine[v, u] = w / math.sqrt((gx * gx + gy * gy + gz * gz) * (x * x + y * y + one))


@njit(**_JIT)
def _jumps(inverse, v, u, dv, du, step):
    """Whether a step of inverse depth leads to another surface: no slope before or behind it is alike."""
    if step == np.inf:
        return False
    return not (
        _alike(inverse, v - dv, u - du, v, u, step) or _alike(inverse, v + dv, u + du, v + 2 * dv, u + 2 * du, step)
    )


@njit(**_JIT)
def _alike(inverse, row, column, next_row, next_column, step):
    """Whether the step between two pixels is nearly this one; not where one of them is outside or without depth."""
    height, width = inverse.shape
    for v, u in ((row, column), (next_row, next_column)):
        if v < 0 or v >= height or u < 0 or u >= width or inverse[v, u] <= 0.0:
            return False
    return abs(inverse[next_row, next_column] - inverse[row, column] - step) < _CONTINUED * abs(step)


@njit(**_JIT)
def _wander(exact, camera, edges, bits, lateral, reach, mixed, normal, source):
    """Pixels near an edge take the depth that a pixel a few steps beside them has, or one between the two.

    bits: two uint32 for each pixel of `edges`. lateral: standard deviation of a step, reach: the longest one, in px.
    """
    height, width = exact.shape
    limit = _STEEPEST / camera[0]
    i = -1
    for v in range(height):
        for u in range(width):
            if edges[v, u] == 0:
                continue
            i += 1
            du = min(max(int(np.rint(lateral * normal[bits[i, 0] & _NORMAL_MASK])), -reach), reach)
            dv = min(max(int(np.rint(lateral * normal[bits[i, 1] & _NORMAL_MASK])), -reach), reach)
            row, column = min(max(v + dv, 0), height - 1), min(max(u + du, 0), width - 1)
            z, other = exact[v, u], exact[row, column]
            distance = max(abs(row - v), abs(column - u))
            if z > 0.0 and other > 0.0 and abs(other - z) > limit * min(z, other) * distance:
                flies = (bits[i, 0] >> _NORMAL_BITS) * _PER_REST < mixed
                share = (bits[i, 1] >> _NORMAL_BITS) * _PER_REST
                source[v, u] = other + share * (z - other) if flies else other


@njit(**_JIT)
def _sense(depth, cosine, bits, normal, focal_baseline, step, sigmas, grazing, dropout, limits):
    """Depth in place: noise and rounding in disparity, holes by range, incidence and luck."""
    constant, offset, square, steep = sigmas
    rounding = step * step / 12.0  # variance that rounding adds by itself
    per_step, smallest = 1.0 / step, focal_baseline / limits[1]
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = depth[v, u]
            if z <= 0.0:
                continue
            depth[v, u] = 0.0
            luck = (bits[v, u] >> _NORMAL_BITS) * _PER_REST
            if luck < dropout or z < limits[0] or z > limits[1]:
                continue
            sigma = constant + offset * (z - 0.4) ** 2 + square * z * z
            if cosine[v, u] < 0.5:
                angle = math.acos(cosine[v, u])
                lost = (angle - grazing[0]) / (grazing[1] - grazing[0])
                if luck < dropout + (1.0 - dropout) * lost:
                    continue
                sigma += steep / math.sqrt(z) * (angle / (math.pi / 2 - angle + 1e-6)) ** 2
            per_z = 1.0 / z
            there = focal_baseline * per_z
            spread = sigma * there * per_z
            noise = math.sqrt(max(0.0, spread * spread - rounding))
            disparity = math.floor((there + noise * normal[bits[v, u] & _NORMAL_MASK]) * per_step + 0.5) * step
            if disparity >= smallest:
                depth[v, u] = focal_baseline / disparity


@njit(**_JIT)
def _cast_shadows(exact, focal_baseline, depth):
    """Holes where the second viewpoint, `focal_baseline` / focal m to the right, has something nearer in the way.

    There a point appears focal_baseline / z pixels further left. What lies on the right of a point here and left of
    it there is nearer and hides it.
    """
    for v in range(exact.shape[0]):
        leftmost = 1e30
        for u in range(exact.shape[1] - 1, -1, -1):
            if exact[v, u] <= 0.0:
                continue
            there = u - focal_baseline / exact[v, u]
            if there > leftmost:
                depth[v, u] = 0.0
            leftmost = min(leftmost, there)
