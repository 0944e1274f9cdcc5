"""YAML files as typed dataclasses: unknown keys, missing keys and wrong types are errors that name the key."""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Literal

import yaml

from lisa_ros.errors import ConfigurationError

RECIPES = ("lora", "tabletop", "elisa", "compare_styles", "compare_choosers")
_SPOKEN = {tuple: "list", Mapping: "mapping", Path: "path"}


def read_recipe(path: Path) -> str:
    """The recipe that a YAML is for; raises ConfigurationError naming the file."""
    recipe = read_yaml(path).get("recipe")
    if recipe not in RECIPES:
        raise ConfigurationError(f"{path}: recipe is {recipe!r}; it must be one of {', '.join(RECIPES)}")
    return recipe


def read_yaml(path: Path) -> dict[str, object]:
    """The mapping in a file, completed from the file that its key `base` names, if any.

    What is below a key of a section (`data.groups`) replaces the base's as a whole. Raises ConfigurationError naming
    the file.
    """
    values = _read_mapping(Path(path))
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ConfigurationError(
            f"{path}: base is {base!r}; it must be the path of another file, from this one's folder"
        )
    completed = _read_mapping(Path(path).parent / base)
    if "base" in completed:
        raise ConfigurationError(f"{path}: its base {base} has a base itself; name that one")
    for key, value in values.items():
        section = completed.get(key)
        completed[key] = section | value if isinstance(section, dict) and isinstance(value, dict) else value
    return completed


def _read_mapping(path: Path) -> dict[str, object]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not text in UTF-8: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path} must hold a mapping, not {type(values).__name__}")
    return values


def parse(kind: type, values: object, prefix: str) -> object:
    """A dataclass from a mapping; raises ConfigurationError naming the key, with `prefix` before it."""
    if not isinstance(values, dict):
        raise ConfigurationError(
            f"{prefix.removesuffix('.') or 'the file'} must be a mapping, not {type(values).__name__}"
        )
    hints, names = typing.get_type_hints(kind), {one.name for one in fields(kind)}
    for key in values:
        if key not in names:
            raise ConfigurationError(f"unknown key {prefix}{key}; there are {', '.join(sorted(names))}")
    for one in fields(kind):
        if one.name not in values and one.default is MISSING and one.default_factory is MISSING:
            raise ConfigurationError(f"missing key {prefix}{one.name}")
    return kind(**{key: parse_value(hints[key], value, prefix + key) for key, value in values.items()})


def parse_value(kind: object, value: object, name: str) -> object:
    """`value` as the annotated type `kind`; raises ConfigurationError with `name`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return parse(kind, value, f"{name}.")
    if origin in (typing.Union, types.UnionType):
        return None if value is None else parse_value(next(a for a in arguments if a is not type(None)), value, name)
    if origin is Literal:
        if value not in arguments:
            raise ConfigurationError(f"{name} is {value!r}; it must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple and isinstance(value, list):
        repeated = arguments[-1] is Ellipsis
        if not repeated and len(value) != len(arguments):
            raise ConfigurationError(f"{name} must have {len(arguments)} values, not {len(value)}")
        return tuple(parse_value(arguments[0], one, f"{name}[{index}]") for index, one in enumerate(value))
    if origin is not None and issubclass(origin, Mapping) and isinstance(value, dict):
        inner = arguments[1]
        return {
            key: parse_value(inner, one, f"{name}.{key}") if is_dataclass(inner) else one for key, one in value.items()
        }
    if kind is Path and isinstance(value, str):
        try:
            return Path(value).expanduser()  # no shell has read the file
        except RuntimeError as error:
            raise ConfigurationError(f"{name} is {value!r}: {error} Give the whole path") from None
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 3e-4, without a point, for text
        except ValueError:
            pass
    if isinstance(kind, type) and type(value) is kind:
        return value
    wanted = _SPOKEN.get(origin or kind) or getattr(kind, "__name__", str(kind))
    raise ConfigurationError(f"{name} is {value!r}; it must be of type {wanted}")
