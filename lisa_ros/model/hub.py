"""Downloads from the hub, and why they fail on a robot: a proxy that cannot be used, a cache that cannot be written."""

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RemoteEntryNotFoundError

_LOG = logging.getLogger(__name__)
_PROXY_VARIABLES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
_FILES = ("*.json", "*.bin", "*.safetensors", "tokenizer.model")


class HubError(Exception):
    """The hub did not give a snapshot; the message says why, and what can be done."""


def download(name: str) -> str:
    """Folder of a model's snapshot, downloaded on first use. Raises HubError."""
    _check_name(name)
    check_cache()
    _check_endpoint()
    try:
        return snapshot_download(name, allow_patterns=list(_FILES))
    except (OSError, HfHubHTTPError, HFValidationError, ImportError, ValueError) as error:
        raise HubError(explain_proxy() or _explain_cache(error) or str(error)) from error


def _check_name(name: str) -> None:
    """Raises HubError for a path: the hub's own message is about the form of a name."""
    if name.startswith(("/", ".", "~")) or name.count("/") > 1 or "\\" in name:
        raise HubError("it is a path, and no folder of that name is there; the hub's names are OWNER/MODEL")


def _check_endpoint() -> None:
    """Raises HubError where the hub's address, which a variable can replace, is none."""
    if urlsplit(constants.ENDPOINT).scheme not in ("http", "https"):
        raise HubError(f"the variable HF_ENDPOINT is {constants.ENDPOINT!r}; it must begin with https:// or http://")


def check_cache() -> None:
    """Raises HubError where the hub's cache would be a folder named "~": without HOME, for a user without an entry."""
    if constants.HF_HUB_CACHE.startswith("~"):
        raise HubError(
            f"its cache would be {constants.HF_HUB_CACHE}, as this user has no home directory; set the variable "
            "HF_HOME to a folder that can be written"
        )


def optional_file(name: str, file: str) -> Path | None:
    """A file of a model on the hub, downloaded on first use; None if it has none. That it could not be had is told."""
    try:
        return Path(hf_hub_download(name, file))
    except RemoteEntryNotFoundError:
        return None
    except (OSError, HfHubHTTPError, ImportError, ValueError) as error:
        reason = explain_proxy() or str(error).splitlines()[0]
        _LOG.warning("%s of %s could not be had (%s); it is taken to hold the usual values", file, name, reason)
        return None


def explain_proxy() -> str:
    """What is wrong with the environment's proxy variables; "" where nothing is known to be, or no proxy is asked."""
    if constants.HF_HUB_OFFLINE:
        return ""
    for name in (*_PROXY_VARIABLES, *map(str.lower, _PROXY_VARIABLES)):
        scheme = urlsplit(os.environ.get(name, "")).scheme.lower()
        if scheme in ("socks5", "socks5h") and find_spec("socksio") is None:
            return (
                f"the variable {name} names a proxy of {scheme}://, which needs the package socksio: "
                f"pip install socksio, or give an http:// proxy, or unset {name}"
            )
        if scheme.startswith("socks") and scheme not in ("socks5", "socks5h"):
            return f"the variable {name} names a proxy of {scheme}://; only http://, https:// and socks5:// are known"
    return ""


def _explain_cache(error: Exception) -> str:
    if not isinstance(error, PermissionError):
        return ""
    return (
        f"its files cannot be stored in {constants.HF_HUB_CACHE} ({error.strerror}); set the variable HF_HOME to a "
        "folder that can be written"
    )
