"""Types and limits of the values that a configuration file gives."""

import math

from lisa_ros.errors import ConfigurationError


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Raises ConfigurationError unless `value` is a whole number of at least `least`; JSON's true is none."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def check_wholes(name: str, values: object, least: int = 0) -> None:
    """Raises ConfigurationError unless `values` is a tuple of whole numbers of at least `least`."""
    if not isinstance(values, tuple):
        raise ConfigurationError(f"{name} is {values!r}; it must be a list of whole numbers")
    for value in values:
        check_whole(f"a value of {name}", value, least)


def check_positive(name: str, value: object) -> None:
    """Raises ConfigurationError unless `value` is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name} is {value!r}; it must be a number above 0")


def check_rotary_width(name: str, width: int, heads_name: str, heads: int) -> None:
    """Raises ConfigurationError unless every head gets pairs of channels: rotary embeddings turn them in pairs."""
    if width % (2 * heads):
        raise ConfigurationError(f"{name} is {width}; it must be a multiple of {2 * heads}, twice {heads_name}")


def check_switch(name: str, value: object) -> None:
    """Raises ConfigurationError unless `value` is a bool: the word "false" would count as true."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} is {value!r}; it must be true or false")


def check_word(name: str, value: object) -> None:
    """Raises ConfigurationError unless `value` is text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} is {value!r}; it must be text")
