"""One parameter of a node: how it is described as a field of a dataclass, and what its value is checked for."""

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from lisa_ros.errors import ConfigurationError

POSE = "x y z qx qy qz qw"


def parameter(default, about: str, *, low=None, high=None, choices=None, fixed=False, at_configure=False):
    """A field of a dataclass that is a parameter.

    Args:
        default: Its value.
        about: What it means, in a sentence.
        low: Least value of a number.
        high: Largest value of a number.
        choices: All values of a text.
        fixed: It is set at start only.
        at_configure: It takes effect when weights are loaded; it can change while unconfigured.
    """
    facts = {"about": about, "low": low, "high": high, "choices": choices, "fixed": fixed, "at_configure": at_configure}
    return field(default=default, metadata=facts)


def check_value(name: str, value, facts: Mapping[str, Any]):
    """Raises ConfigurationError where a value is none of the choices, or out of the limits; facts: the field's."""
    if facts["choices"] and value not in facts["choices"]:
        raise ConfigurationError(f"{name}={value!r} is not one of {', '.join(facts['choices'])}")
    if facts["low"] is not None and not (math.isfinite(value) and facts["low"] <= value <= facts["high"]):
        raise ConfigurationError(f"{name}={value} must lie between {facts['low']} and {facts['high']}")


def check_pose(name: str, pose: tuple[float, ...]):
    """Raises ConfigurationError where a pose is not x y z (m) and a unit quaternion qx qy qz qw."""
    if len(pose) != 7 or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in pose):
        raise ConfigurationError(f"{name}={list(pose)} must be seven finite numbers: {POSE}")
    norm = math.hypot(*pose[3:])
    if abs(norm - 1) > 1e-3:
        raise ConfigurationError(f"{name}'s quaternion has length {norm:.4f}; it must be 1")


def check_direction(direction: tuple[float, ...]):
    """Raises ConfigurationError where `up` is not three numbers of some length."""
    if len(direction) != 3 or not all(isinstance(value, (int, float)) and math.isfinite(value) for value in direction):
        raise ConfigurationError(f"up={list(direction)} must be three finite numbers: x y z")
    if math.hypot(*direction) < 1e-6:
        raise ConfigurationError(f"up={list(direction)} has no direction: it must not be zero")
