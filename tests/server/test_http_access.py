"""Who gets in: tests that try to."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_server import CHAT, HttpServer
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gptcli.errors import GptcliError, UsageError
from gptcli.server.access import Keys
from gptcli.server.doors import is_loopback, make_private, tcp_door, unix_door
from gptcli.server.process import ServerOptions

PAGE = "https://page.example"


async def secret(request: object) -> PlainTextResponse:
    return PlainTextResponse("secret")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    options = ServerOptions(["fake"], keys=Keys(["one", "two"]), hosts=("ai.example",), origins=(PAGE,))
    routes = [Route("/gptcli/secret", secret)]
    folder = tmp_path_factory.mktemp("run")
    with HttpServer(folder, options=options, private_routes=lambda engine: routes) as one:
        yield one


class TestKeys:
    @pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/tokenizer_info", "/nowhere", "/v1/completions"])
    @pytest.mark.parametrize(
        "given",
        [{}, {"authorization": "Bearer no"}, {"authorization": "Basic one"}, {"authorization": "Bearer onetwo"}],
    )
    def test_nothing_without_a_key(self, server: HttpServer, path: str, given: dict[str, str]) -> None:
        reply = server.ask(path, **given)
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
        assert "one" not in reply.error["message"]

    @pytest.mark.parametrize("key", ["one", "two"])
    def test_each_key_opens(self, server: HttpServer, key: str) -> None:
        assert server.ask("/v1/models", authorization=f"Bearer {key}").status == 200
        assert server.ask("/v1/models", authorization=f"bearer  {key} ").status == 200

    def test_health_needs_none(self, server: HttpServer) -> None:
        assert server.ask("/health").status == 200

    def test_the_private_socket_needs_none(self, server: HttpServer) -> None:
        assert server.ask("/v1/models", private=True).status == 200

    def test_a_file_of_keys(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text("first\n\n  second  \r\n")
        keys = Keys.read(file)
        assert [keys.accept(f"Bearer {key}") for key in ("first", "second", "", "third")] == [True, True, False, False]
        file.write_text("\n \n")
        with pytest.raises(UsageError, match="has no key"):
            Keys.read(file)
        with pytest.raises(UsageError, match="cannot be read"):
            Keys.read(tmp_path)


class TestWebPages:
    @pytest.mark.parametrize(
        "host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "192.168.1.7", "ai.example:443"]
    )
    def test_own_names(self, server: HttpServer, host: str) -> None:
        assert server.ask("/health", host=host).status == 200

    @pytest.mark.parametrize(
        "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "", "a b"]
    )
    def test_a_name_that_was_rebound(self, server: HttpServer, host: str) -> None:
        assert server.ask("/health", host=host, authorization="Bearer one").status in (400, 403)

    def test_no_host_or_two(self, server: HttpServer) -> None:
        for head in (b"GET /health HTTP/1.0\r\n\r\n", b"GET /health HTTP/1.1\r\nhost: localhost\r\nhost: a\r\n\r\n"):
            with server.connect() as connection:
                connection.sendall(head)
                assert connection.recv(1 << 16).split()[1] in (b"400", b"403")

    def test_another_origin_is_refused_and_cannot_read(self, server: HttpServer) -> None:
        for origin in ("https://evil.example", "null", PAGE + ".evil.example"):
            reply = server.ask("/v1/models", origin=origin, authorization="Bearer one")
            assert (reply.status, reply.error["code"]) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in reply.headers

    def test_an_allowed_origin(self, server: HttpServer) -> None:
        asked = server.ask("/v1/completions", method="OPTIONS", origin=PAGE)
        assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, PAGE)
        assert "authorization" in asked.headers["access-control-allow-headers"]
        reply = server.ask("/v1/models", origin=PAGE, authorization="Bearer one")
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, PAGE)
        assert server.ask("/v1/models", origin=PAGE).status == 401

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
    def test_what_a_page_may_send_without_asking_is_not_read(self, server: HttpServer, kind: str) -> None:
        reply = server.ask("/v1/chat/completions", CHAT, content_type=kind, authorization="Bearer one")
        assert reply.status == 415


class TestPrivateSocket:
    def test_gptclis_own_routes_are_nowhere_else(self, server: HttpServer) -> None:
        assert server.ask("/gptcli/secret", private=True).body == b"secret"
        for path in ("/gptcli/secret", "/gptcli/secret/", "//gptcli/secret", "/x/../gptcli/secret", "/%67ptcli/secret"):
            reply = server.ask(path, authorization="Bearer one")
            assert reply.status in (404, 307), path
            assert b"secret" not in reply.body

    def test_modes(self, server: HttpServer) -> None:
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(server.path.parent.stat().st_mode) == 0o700

    @pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become another user")
    def test_another_user_cannot_connect(self, server: HttpServer) -> None:
        assert self._connect_as_nobody(server.path) == "PermissionError"

    @pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become another user")
    def test_another_user_gets_nothing_where_the_modes_were_loosened(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        with HttpServer(tmp_path_factory.mktemp("loose")) as server:
            folder = server.path.parent
            server.path.chmod(0o666)
            for parent in (folder, folder.parent, folder.parent.parent):
                parent.chmod(0o755)
            assert self._connect_as_nobody(server.path) in ("b''", "ConnectionResetError", "BrokenPipeError")
            folder.parent.chmod(0o700)

    @staticmethod
    def _connect_as_nobody(path: Path) -> str:
        script = (
            "import os, socket, sys\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "try:\n"
            "    one = socket.socket(socket.AF_UNIX); one.connect(sys.argv[1])\n"
            "    one.sendall(b'GET /health HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n')\n"
            "    print(one.recv(99))\n"
            "except OSError as error:\n"
            "    print(type(error).__name__)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def test_two_servers_cannot_have_one_socket(self, server: HttpServer) -> None:
        with pytest.raises(UsageError, match="running already"), unix_door(server.path):
            pass
        assert server.ask("/health", private=True).status == 200

    def test_a_socket_that_was_left_over_is_replaced(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "s.sock"))
        with unix_door(tmp_path / "s.sock"):
            assert (tmp_path / "s.sock").is_socket()
        assert not (tmp_path / "s.sock").exists()

    def test_a_path_that_is_too_long(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="too long"), unix_door(tmp_path / ("x" * 120) / "s.sock"):
            pass

    def test_a_folder_that_others_could_change(self, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir(mode=0o777)
        make_private(tmp_path / "mine")
        assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o700
        (tmp_path / "link").symlink_to(tmp_path / "mine")
        with pytest.raises(GptcliError, match="not a folder of this user"):
            make_private(tmp_path / "link")


class TestAddresses:
    def test_loopback_or_not(self) -> None:
        with tcp_door("127.0.0.1", 0) as own, tcp_door("0.0.0.0", 0) as every:
            assert is_loopback(own)
            assert not is_loopback(every)

    def test_a_port_in_use(self) -> None:
        with tcp_door("127.0.0.1", 0) as first:
            port = first.getsockname()[1]
            with (
                pytest.raises(UsageError, match=f"127.0.0.1:{port} cannot be listened on"),
                tcp_door("127.0.0.1", port),
            ):
                pass

    def test_no_address(self) -> None:
        with pytest.raises(UsageError, match="--host"), tcp_door("not an address", 0):
            pass
