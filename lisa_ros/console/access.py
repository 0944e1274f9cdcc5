"""Who may open the page: a check of every HTTP request and every websocket handshake, before viser sees it. Pure.

On loopback there is no token, but other pages in the same browser must not get in: a request has to name this
computer as its host (or a foreign page could rebind its own name to 127.0.0.1), and a websocket has to come from the
page itself. Elsewhere a token is needed as well, once in the link, then as a cookie.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Reply:
    """An answer in place of the page.

    Attributes:
        status: 403 for a refusal, 303 for the way to the page without the token in its address.
        text: For a person.
        headers: Further headers.
    """

    status: HTTPStatus
    text: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class AccessRule:
    """Decides about requests.

    Attributes:
        port: Where the page is served; part of the cookie's name, since cookies do not tell ports apart.
        token: What a browser has to know; "" for a page that is served on loopback only.
    """

    port: int
    token: str = ""

    def check(self, path: str, headers: Mapping[str, str]) -> Reply | None:
        """None where a request may pass.

        Args:
            path: Path and query of the request.
            headers: Its headers; `get` must not mind their case.
        """
        host = headers.get("Host") or ""
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _refusal(f"a page of {origin} asked for this console, which only its own page may do")
        if not self.token:
            if _is_loopback(host):
                return None
            return _refusal(
                f"the console is served on this computer only, and {host!r} is no name of it: open it as 127.0.0.1"
            )
        if self._is_token(_cookies(headers).get(self._cookie, "")):
            return None
        given = parse_qs(urlsplit(path).query).get("token", [""])[0]
        if not self._is_token(given):
            wrong = "the token is not valid (the console has a new one after each start)" if given else "no token"
            return _refusal(f"{wrong}: open the whole link that the console has printed")
        if "websocket" in (headers.get("Upgrade") or "").lower():
            return None
        cookie = f"{self._cookie}={self.token}; HttpOnly; SameSite=Lax; Path=/"
        return Reply(HTTPStatus.SEE_OTHER, "", (("Location", "/"), ("Set-Cookie", cookie)))

    @property
    def _cookie(self) -> str:
        return f"lisa_ros_console_{self.port}"

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())


def is_loopback_address(address: str) -> bool:
    """Whether an IP address, as a socket names it, can be reached from this computer alone."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return is_loopback_address(name)
    except ValueError:
        return False


def _cookies(headers: Mapping[str, str]) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("Cookie") or "").items()}
    except CookieError:  # another program's on the same host
        return {}


def _refusal(text: str) -> Reply:
    return Reply(HTTPStatus.FORBIDDEN, f"lisa_ros console: {text}\n")
