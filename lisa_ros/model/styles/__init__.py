"""The styles there are, and how a checkpoint's files tell theirs."""

import logging
from collections.abc import Collection, Iterable, Mapping

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.styles.base import QueryPrompt, Style
from lisa_ros.model.styles.cores import CoresStyle
from lisa_ros.model.styles.gsva import GsvaStyle
from lisa_ros.model.styles.instances import InstanceStyle
from lisa_ros.model.styles.lisa import LisaStyle
from lisa_ros.model.styles.llmseg import LlmSegStyle
from lisa_ros.model.styles.rendering import MASK_ANSWER, RenderedTurn, RenderOptions
from lisa_ros.model.styles.sesame import SesameStyle

__all__ = [
    "DEFAULT_STYLE",
    "MASK_ANSWER",
    "STYLES",
    "QueryPrompt",
    "RenderOptions",
    "RenderedTurn",
    "Style",
    "get_style",
    "recognise",
]

_LOG = logging.getLogger(__name__)
_ALL = (LisaStyle(), GsvaStyle(), SesameStyle(), CoresStyle(), InstanceStyle(), LlmSegStyle())
STYLES: Mapping[str, Style] = {style.name: style for style in _ALL}
DEFAULT_STYLE = LisaStyle.name


def get_style(name: str) -> Style:
    """The style of that name. Raises ConfigurationError naming those there are."""
    try:
        return STYLES[name]
    except (KeyError, TypeError):
        raise ConfigurationError(f"style {name!r} is not known; there are {', '.join(STYLES)}") from None


def recognise(
    values: Mapping[str, object], added: Collection[str], source: object, weights: Iterable[str] = ()
) -> Style:
    """The style of a checkpoint by its files: what they say, tokens or weights of its own, its architecture's name.

    Args:
        values: Of config.json.
        added: Tokens that the tokenizer has beyond its vocabulary.
        source: Of the files, for the log.
        weights: Names of the weights.

    Returns:
        The style; LISA's, named in the log, where nothing tells.

    Raises:
        ConfigurationError: config.json names a style that is not known.
    """
    if values.get("style") is not None:
        return get_style(values["style"])
    common = STYLES[DEFAULT_STYLE].tokens
    for style in STYLES.values():
        if any(token in added for token in style.tokens.keys() - common.keys()):
            return style
    prefixes = {style.weight_prefix: style for style in STYLES.values() if style.weight_prefix}
    for name in weights:
        if name.startswith(tuple(prefixes)):
            return next(style for prefix, style in prefixes.items() if name.startswith(prefix))
    architectures = values.get("architectures")
    for style in STYLES.values():
        if isinstance(architectures, list) and set(style.architectures) & set(map(str, architectures)):
            return style
    _LOG.info("%s does not tell its style; it is taken for %s, style=NAME says otherwise", source, DEFAULT_STYLE)
    return STYLES[DEFAULT_STYLE]
