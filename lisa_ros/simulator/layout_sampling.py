"""Draws the objects, the camera, the light and the room of one scene from a seed. No pixels here."""

import colorsys
import math
from dataclasses import replace

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator.layout import ELEVATIONS, TEXTURES, Layout, SceneOptions
from lisa_ros.simulator.palette import colours_of
from lisa_ros.simulator.placement import place_objects

_DRAWS = 100


def sample_layout(seed: int, options: SceneOptions, aspect: float = 0.75) -> Layout:
    """Draws a layout; it is drawn again if too few objects found a place.

    Args:
        seed: Whole number of at least 0.
        options: How it is drawn.
        aspect: Height / width of the image that it is made for.

    Raises:
        ConfigurationError: If the fewest objects do not fit into an image of that shape, in any of many draws.
    """
    for draw in range(_DRAWS):
        # The first draw of a seed is that of all versions: data sets and models name scenes by their seeds.
        layout = _draw_layout(np.random.default_rng((seed, draw) if draw else seed), seed, options, aspect)
        if len(layout.objects) >= options.objects[0]:
            return layout
    raise ConfigurationError(
        f"no scene of seed {seed} has room for {options.objects[0]} objects in an image {aspect:.2g} times as high as "
        "wide; ask for fewer, or for an image that is less narrow"
    )


def _draw_layout(rng: np.random.Generator, seed: int, options: SceneOptions, aspect: float) -> Layout:
    count = int(rng.integers(options.objects[0], options.objects[1] + 1))
    room = _sample_room(rng, options)
    camera = ("low", "high")[rng.integers(2)] if options.camera == "other" else options.camera
    elevation = math.radians(rng.uniform(*ELEVATIONS[camera]))
    distance = rng.uniform(0.6, 0.95) * (1.0 + 0.035 * max(0, count - 5))
    eye = (
        distance,
        elevation,
        rng.uniform(-math.pi, math.pi),
        rng.normal(0.0, 0.03),
        math.radians(rng.uniform(44.0, 60.0)),
    )
    layout = Layout(seed, options, (), eye, (rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)), *room)
    return replace(layout, objects=place_objects(rng, layout, _choose(rng, count, options), aspect))


def _choose(rng, count, options):
    """(category, colour, size factor) of each object."""
    repeated = int(rng.integers(2, min(4, count) + 1)) if count >= 2 and rng.random() < options.repeats else 0
    order = list(rng.permutation(options.categories))
    chosen = []
    same = rng.random() < 0.25
    first = rng.choice(colours_of(order[0]))
    for _ in range(repeated):
        colour = first if same else rng.choice(colours_of(order[0]))
        chosen.append((str(order[0]), str(colour), rng.uniform(0.75, 1.3)))
    for category in order[1 : count - repeated + 1]:
        chosen.append((str(category), str(rng.choice(colours_of(category))), rng.uniform(0.92, 1.18)))
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _rgb(hue, saturation, value):
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def _ground_colours(rng, texture):
    """Two related colours of a ground, linear RGB."""
    if texture in (1, 4) and rng.random() < 0.85:
        hue, saturation, value = rng.uniform(0.05, 0.1), rng.uniform(0.35, 0.75), rng.uniform(0.12, 0.6)
    else:
        hue, saturation, value = rng.random(), rng.random() ** 2 * 0.6, rng.uniform(0.08, 0.75)
    other = value * rng.uniform(0.45, 0.85) if rng.random() < 0.6 else min(0.85, value * rng.uniform(1.2, 1.8))
    return [*_rgb(hue, saturation, value), *_rgb(hue + rng.normal(0.0, 0.03), saturation, other)]


def _sample_room(rng, options):
    """table, grounds, light, exposure, noise, blur of a Layout."""
    yaw, wall = rng.uniform(-math.pi, math.pi), rng.uniform(-math.pi, math.pi)
    table = np.array([
        rng.uniform(0.5, 1.1), rng.uniform(0.45, 0.8), math.cos(yaw), math.sin(yaw), -rng.uniform(0.6, 0.9),
        math.cos(wall), math.sin(wall), rng.uniform(1.6, 3.5),
    ])  # fmt: skip
    grounds = np.empty((3, 9))
    for i, scale in enumerate(((5.0, 16.0), (1.5, 5.0), (0.8, 3.0))):
        texture = int(rng.choice(TEXTURES[options.textures]))
        grounds[i] = [texture, rng.uniform(*scale), rng.integers(1, 10000), *_ground_colours(rng, texture)]
    elevation, azimuth = math.radians(rng.uniform(38.0, 80.0)), rng.uniform(-math.pi, math.pi)
    direction = [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
    warmth = rng.normal(0.0, 0.06)
    key, ambient = rng.uniform(0.5, 0.95), rng.uniform(0.3, 0.6)
    soft = rng.random() < 0.6
    light = np.array([
        *direction, key * (1 + warmth), key, key * (1 - warmth),
        ambient * (1 - warmth / 2), ambient, ambient * (1 + warmth / 2),
        rng.uniform(0.03, 0.12) if soft else 0.0, 4.0 if soft else 1.0,
    ])  # fmt: skip
    noise = options.noise * rng.uniform(0.3, 1.0) * 0.018
    blur = math.hypot(options.blur, rng.uniform(0.4, 0.8) if rng.random() < 0.6 else 0.0)
    return table, grounds, light, rng.uniform(0.75, 1.15), noise, blur
