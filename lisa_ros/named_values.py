"""Several named values in one text, "points_per_side=16, rule=similarity": of the command line and of a parameter."""

import json

from lisa_ros.errors import ConfigurationError


def named_values(text: str, what: str) -> dict[str, object]:
    """The values by their names.

    Args:
        text: NAME=VALUE, separated by commas; a value is JSON (a number, true, false), else the word itself. "" for
            none.
        what: What they are of, for messages.

    Returns:
        Names and values, in their order.

    Raises:
        ConfigurationError: A part has no name or no value, or a name is there twice.
    """
    values: dict[str, object] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, is_given, value = (piece.strip() for piece in part.partition("="))
        if not (name and is_given and value):
            raise ConfigurationError(f"{what}: {part!r} must be NAME=VALUE, as in points_per_side=16,limit=20")
        if name in values:
            raise ConfigurationError(f"{what}: {name} is given twice")
        values[name] = _value(value)
    return values


def _value(word: str) -> object:
    try:
        return json.loads(word)
    except ValueError:
        return word
