"""viser's server behind the access check, on a socket of our own."""

import contextlib
import io
import secrets
import socket
from collections.abc import Iterator

import viser
import websockets.asyncio.server
from websockets.datastructures import Headers
from websockets.http11 import Response

from lisa_ros.console.access import AccessRule, Reply, is_loopback_address
from lisa_ros.errors import ConfigurationError


class ConsoleServer(viser.ViserServer):
    """A viser server that lets in whom `AccessRule` lets in.

    Attributes:
        address: The page's address; with the token in it where one is needed.
        is_loopback: Whether only this computer can reach it, and no token is needed.
    """

    def __init__(self, host: str, port: int):
        """Starts to serve.

        Args:
            host: Name or address to listen on. Anything but loopback gets a token.
            port: 0 for a free one.

        Raises:
            ConfigurationError: There is no such address, or the port is in use.
        """
        listener = _listen(host, port)
        bound, number = listener.getsockname()[:2]
        self.is_loopback = is_loopback_address(bound)
        rule = AccessRule(number, "" if self.is_loopback else secrets.token_urlsafe(24))
        name = host if ":" not in host else f"[{host}]"
        if bound in ("0.0.0.0", "::"):  # no browser can open that
            name = socket.gethostname()
        self.address = f"http://{name}:{number}" + (f"/?token={rule.token}" if rule.token else "")
        with _guarded(listener, rule), _quiet():
            super().__init__(host=host, port=number, verbose=False)

    def request_share_url(self, verbose: bool = True) -> None:
        """Nothing: viser would let any page publish the console in the internet, past the access check."""

    def stop(self) -> None:
        """Ends the server and its threads."""
        with _quiet():
            super().stop()


def _listen(host: str, port: int) -> socket.socket:
    if not host:
        raise ConfigurationError("host is empty; it must be a name or address to listen on: 127.0.0.1, or 0.0.0.0")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"the console cannot listen on {host} port {port}: {error.strerror or error}; give another host:= or "
            "port:= (0: any free port)"
        ) from error
    return listener


@contextlib.contextmanager
def _guarded(listener: socket.socket, rule: AccessRule) -> Iterator[None]:
    """While it lasts, the server that is started listens on `listener` and asks `rule` first.

    viser has no place for a check, and takes the next port where one is in use. It starts the server of the library
    websockets, whose `process_request` sees every request and handshake: that call is completed here. Where a
    release of viser starts its server in another way, nothing is served.
    """
    original = websockets.asyncio.server.serve
    started = []

    def serve(handler, host, port, *, process_request, **options):
        def check(connection, request):
            reply = rule.check(request.path, request.headers)
            return process_request(connection, request) if reply is None else _response(reply)

        started.append(port)
        return original(handler, sock=listener, process_request=check, **options)

    websockets.asyncio.server.serve = serve
    try:
        yield
    finally:
        websockets.asyncio.server.serve = original
    if not started:
        raise ConfigurationError(
            f"viser {viser.__version__} starts its server in a way in which access to it cannot be checked: install "
            "the version of requirements/console.txt"
        )


def _response(reply: Reply) -> Response:
    body = reply.text.encode()
    headers = Headers([("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    for name, value in reply.headers:
        headers[name] = value
    return Response(reply.status.value, reply.status.phrase, headers, body)


def _quiet() -> contextlib.AbstractContextManager:
    """viser prints a table with its addresses, without the token, and when it ends."""
    return contextlib.redirect_stdout(io.StringIO())
