"""Who may open the console's page: the rule itself, and the server that asks it."""

import http.client
import socket

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from lisa_ros.console.access import AccessRule
from lisa_ros.errors import ConfigurationError

pytestmark = pytest.mark.unit

TOKEN = "s3cret-token"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.0.0.1:9999", "127.1.2.3"])
def test_on_loopback_this_computer_gets_in(host):
    assert AccessRule(8080).check("/", {"Host": host}) is None
    assert AccessRule(8080).check("/", {"Host": host, "Origin": f"http://{host}", "Upgrade": "websocket"}) is None


@pytest.mark.parametrize("host", ["evil.example:8080", "10.0.0.7:8080", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_on_loopback_another_name_for_this_computer_does_not(host):
    reply = AccessRule(8080).check("/", {"Host": host})
    assert reply.status == 403
    assert "127.0.0.1" in reply.text


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null", "https://localhost:8080"])
@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_page_from_elsewhere_does_not_get_in(origin, token):
    headers = {"Host": "127.0.0.1:8080", "Upgrade": "websocket", "Origin": origin}
    headers["Cookie"] = f"lisa_ros_console_8080={TOKEN}"
    assert AccessRule(8080, token).check("/", headers).status == 403


@pytest.mark.parametrize(
    "path", ["/", "/?token=", "/?token=wrong", "/?token=é", f"/?token={TOKEN}x", f"/x?tokens={TOKEN}"]
)
def test_without_the_token_nobody_gets_in(path):
    rule = AccessRule(8080, TOKEN)
    assert rule.check(path, {"Host": "robot:8080"}).status == 403
    assert rule.check(path, {"Host": "robot:8080", "Upgrade": "websocket"}).status == 403
    for cookie in ("lisa_ros_console_8080=wrong", f"lisa_ros_console_9090={TOKEN}", "=;;,,=", "lisa_ros_console_8080="):
        assert rule.check("/", {"Host": "robot:8080", "Cookie": cookie}).status == 403, cookie


def test_the_link_sets_a_cookie_that_scripts_and_other_sites_cannot_use():
    rule = AccessRule(8080, TOKEN)
    reply = rule.check(f"/?token={TOKEN}", {"Host": "robot:8080"})
    headers = dict(reply.headers)
    assert (reply.status, headers["Location"]) == (303, "/")
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Lax" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert rule.check("/", {"Host": "robot:8080", "Cookie": f"other=1; {cookie}"}) is None


# -- the server


@pytest.fixture(scope="module")
def servers():
    """(on loopback, on all addresses)."""
    pytest.importorskip("viser")
    from lisa_ros.console.server import ConsoleServer

    found = ConsoleServer("127.0.0.1", 0), ConsoleServer("0.0.0.0", 0)
    yield found
    for server in found:
        server.stop()


def get(server, path="/", **headers):
    """(status, headers, body) without following redirections."""
    connection = http.client.HTTPConnection("127.0.0.1", server.get_port(), timeout=20)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def shake_hands(server, **headers):
    """Status of a websocket's handshake."""
    import viser

    address = f"ws://127.0.0.1:{server.get_port()}/"
    protocols = [f"viser-v{viser.__version__}"]
    try:
        with connect(address, subprotocols=protocols, additional_headers=headers, max_size=None) as socket_:
            socket_.recv(timeout=20)
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_the_loopback_server_checks_host_and_origin(servers):
    server, _ = servers
    port = server.get_port()
    assert (server.is_loopback, server.address) == (True, f"http://127.0.0.1:{port}")
    assert get(server)[0] == 200
    assert get(server, Host="evil.example")[0] == 403
    assert shake_hands(server) == 101
    assert shake_hands(server, Origin=f"http://127.0.0.1:{port}") == 101
    assert shake_hands(server, Origin="http://evil.example") == 403


def test_the_server_beyond_loopback_wants_the_token_for_page_and_websocket(servers):
    _, server = servers
    assert not server.is_loopback
    path = server.address[server.address.index("/?token=") :]
    assert get(server)[0] == 403
    assert get(server, "/?token=wrong")[0] == 403
    assert shake_hands(server) == 403
    status, headers, _ = get(server, path)
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert status == 303
    assert get(server, Cookie=cookie)[0] == 200
    assert shake_hands(server, Cookie=cookie) == 101
    assert shake_hands(server, Cookie=cookie, Origin="http://evil.example") == 403


def test_each_server_has_a_token_of_its_own(servers):
    from lisa_ros.console.server import ConsoleServer

    other = ConsoleServer("0.0.0.0", 0)
    try:
        token = other.address.partition("token=")[2]
        assert len(token) >= 32
        assert get(servers[1], f"/?token={token}")[0] == 403
    finally:
        other.stop()


def test_nobody_can_publish_the_page_in_the_internet(servers):
    assert servers[0].request_share_url() is None


def test_a_port_in_use_and_a_host_that_is_none_are_errors(servers):
    from lisa_ros.console.server import ConsoleServer

    port = servers[0].get_port()
    with pytest.raises(ConfigurationError, match=rf"127.0.0.1 port {port}: .*port:="):
        ConsoleServer("127.0.0.1", port)
    for host in ("", "no.such.host.invalid", "203.0.113.7"):
        with pytest.raises(ConfigurationError, match="host"):
            ConsoleServer(host, 0)


def test_a_viser_that_starts_its_server_in_another_way_is_not_served(monkeypatch):
    viser = pytest.importorskip("viser")
    from lisa_ros.console.server import ConsoleServer

    started = []
    monkeypatch.setattr(viser.ViserServer, "__init__", lambda self, **options: started.append(options))
    with pytest.raises(ConfigurationError, match="access to it cannot be checked"):
        ConsoleServer("127.0.0.1", 0)
    assert started


def test_without_viser_the_remedy_is_named(monkeypatch):
    from lisa_ros import console

    monkeypatch.setattr(console, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"lisa_ros\[console\]"):
        console.check_installed()


def test_ipv6(tmp_path):
    pytest.importorskip("viser")
    from lisa_ros.console.server import ConsoleServer

    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        server = ConsoleServer("::1", 0)
    except ConfigurationError as error:
        pytest.skip(str(error))
    try:
        assert server.is_loopback
        assert server.address == f"http://[::1]:{server.get_port()}"
    finally:
        server.stop()
