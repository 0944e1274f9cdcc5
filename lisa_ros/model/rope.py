"""Rotary position embeddings as config.json describes them: transformers 4's two keys, or transformers 5's one."""

from collections.abc import Mapping

from lisa_ros.errors import ConfigurationError

# What each kind reads besides its name and rope_theta; a key that a kind does not read would be dropped.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": (
        *("factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow"),
        *("mscale", "mscale_all_dim", "truncate"),
    ),
    "longrope": ("factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"),
    "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
}


def read_rope(values: Mapping[str, object]) -> dict[str, object]:
    """`rope_theta` and `rope_scaling` of config.json's values, where it has them.

    transformers 4 writes `rope_theta` and `rope_scaling`, transformers 5 `rope_parameters` with both in it.
    Raises ConfigurationError where two of them contradict each other, or a key is not known.
    """
    tables = {key: values[key] for key in ("rope_parameters", "rope_scaling") if values.get(key) is not None}
    thetas = {"rope_theta": values["rope_theta"]} if values.get("rope_theta") is not None else {}
    scalings = {}
    for key, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigurationError(f"{key} is {table!r}; it must be a table with a `rope_type`")
        rest = {name: value for name, value in table.items() if value is not None}
        if "rope_theta" in rest:
            thetas[f"{key}.rope_theta"] = rest.pop("rope_theta")
        if rest.keys() - {"partial_rotary_factor"}:
            check_rope_scaling(rest, key)
            scaling = _plain(rest)
        else:  # nothing but theta: no scaling
            _check_partial(rest, key)
            scaling = {}
        if key == "rope_parameters" or scaling:
            scalings[key] = scaling
    for found in (thetas, scalings):
        if any(value != next(iter(found.values())) for value in found.values()):
            said = ", ".join(f"{key} is {value!r}" for key, value in found.items())
            raise ConfigurationError(f"{said}; they contradict each other")
    theta, scaling = next(iter(thetas.values()), None), next(iter(scalings.values()), None)
    return ({"rope_theta": theta} if theta is not None else {}) | ({"rope_scaling": scaling} if scaling else {})


def check_rope_scaling(scaling: object, name: str = "rope_scaling") -> None:
    """Raises ConfigurationError unless it is of a known kind, with no other keys than that kind reads."""
    kind = (scaling.get("rope_type") or scaling.get("type")) if isinstance(scaling, Mapping) else None
    if not isinstance(kind, str) or kind not in _KEYS:
        raise ConfigurationError(f"{name} is {scaling!r}; its rope_type must be one of {', '.join(_KEYS)}")
    if scaling.get("type", kind) != kind:
        raise ConfigurationError(f"{name} has the rope_type {kind!r} and the type {scaling['type']!r}; keep one")
    known = {"rope_type", "type", "rope_theta", "partial_rotary_factor", *_KEYS[kind]}
    if unknown := sorted(map(str, set(scaling) - known)):
        raise ConfigurationError(
            f"{name} has {', '.join(unknown)}, which the kind {kind!r} does not read; it reads "
            f"{', '.join(('rope_theta', *_KEYS[kind]))}"
        )
    _check_partial(scaling, name)


def check_factors(scaling: Mapping[str, object], head_dim: int) -> None:
    """Raises ConfigurationError where factors are no list of one number for each of a head's pairs.

    A list of one number would be stretched to all of them without a word.
    """
    for name in ("short_factor", "long_factor"):
        factors = scaling.get(name)
        if factors is not None and not (isinstance(factors, list | tuple) and len(factors) == head_dim // 2):
            raise ConfigurationError(f"rope_scaling has the {name} {factors!r}; it must be {head_dim // 2} numbers")


def _check_partial(table: Mapping[str, object], name: str) -> None:
    if table.get("partial_rotary_factor", 1) != 1:
        found = table["partial_rotary_factor"]
        raise ConfigurationError(f"{name} has the partial_rotary_factor {found!r}; it must be 1")


def _plain(scaling: Mapping[str, object]) -> dict[str, object]:
    """The table by the newer name of its kind alone; {} where nothing is scaled."""
    kind = scaling.get("rope_type") or scaling.get("type")
    rest = {name: scaling[name] for name in _KEYS[kind] if name in scaling}
    return {} if kind == "default" else {"rope_type": kind, **rest}
