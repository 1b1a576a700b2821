"""Where an engine is looked for, and what is said where none answers. Nothing here needs Docker."""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from chaosharness.model.errors import MissingServer
from chaosharness.servers.docker.endpoint import BadEndpoint, Endpoint, find_endpoint
from chaosharness.servers.docker.engine import ANSWER_WITHIN_S, Engine, find_engine, require

TOLD_WITHIN_S = ANSWER_WITHIN_S + 4.0
"""For a busy machine."""


# where


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("unix:///run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock"),
        ("unix://", "unix:///var/run/docker.sock"),
        ("unix://run/docker.sock", "unix:///run/docker.sock"),
        ("http+unix:///run/docker.sock", "unix:///run/docker.sock"),
        ("tcp://build", "tcp://build:2375"),
        ("tcp://build:1234/", "tcp://build:1234"),
        ("http://build:1234", "tcp://build:1234"),
        (" tcp://10.0.0.1:2375\n", "tcp://10.0.0.1:2375"),
        ("tcp://[::1]:2375", "tcp://[::1]:2375"),
        ("ssh://me@build:2222/", "ssh://me@build:2222"),
        ("ssh://build/run/docker.sock", "ssh://build/run/docker.sock"),
    ],
)
def test_docker_host(host: str, url: str) -> None:
    assert find_endpoint({"DOCKER_HOST": host}) == Endpoint(url, "DOCKER_HOST")


@pytest.mark.parametrize(
    "host",
    [
        "banana", "tcp://", "tcp://:2375", "build:2375", "ftp://build", "fd://", "npipe:////./pipe/docker_engine",
        "https://build", "ssh://", "tcp://build:many", "tcp://build:99999", "tcp://build:2375/engine", "tcp://[::1",
        "tcp://build?x=1", "://", "-",
    ],
)  # fmt: skip
def test_a_docker_host_that_is_none(host: str) -> None:
    engine = find_engine({"DOCKER_HOST": host})
    assert not engine.ok
    assert "(DOCKER_HOST): " in str(engine)
    assert engine.remedy == "expected unix:///path, tcp://host:port or ssh://user@host"
    with pytest.raises(MissingServer, match=r"no Docker engine: .*DOCKER_HOST.*the backend local runs servers"):
        require(engine)


def test_a_password_is_not_shown() -> None:
    engine = find_engine({"DOCKER_HOST": "tcp://me:secret@build:2375"})
    assert str(engine) == "tcp://… (DOCKER_HOST): a user, a password or a query has no place in it"


def test_without_a_word_it_is_the_default_socket(tmp_path: Path) -> None:
    default = Endpoint("unix:///var/run/docker.sock")
    assert find_endpoint({}) == default
    assert find_endpoint({"DOCKER_HOST": "", "DOCKER_CONTEXT": "", "HOME": str(tmp_path)}) == default
    assert find_endpoint({"DOCKER_CONTEXT": "default"}) == default


def context(docker: Path, name: str, meta: object, tls: bool = False) -> None:
    """As `docker context create` leaves it."""
    number = hashlib.sha256(name.encode()).hexdigest()
    folder = docker / "contexts" / "meta" / number
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps(meta))
    if tls:
        certificates(docker / "contexts" / "tls" / number / "docker")


def certificates(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (folder / name).touch()
    return folder


ENDPOINT = {"Host": "tcp://elsewhere:2376", "SkipTLSVerify": False}
META = {"Name": "elsewhere", "Metadata": {}, "Endpoints": {"docker": ENDPOINT}}


def test_a_context(tmp_path: Path) -> None:
    docker = tmp_path / ".docker"
    context(docker, "elsewhere", META)
    expected = Endpoint("tcp://elsewhere:2376", "the context elsewhere")
    home = {"HOME": str(tmp_path)}
    assert find_endpoint({**home, "DOCKER_CONTEXT": "elsewhere"}) == expected
    assert find_endpoint(home).named_by == ""
    (docker / "config.json").write_text('{"currentContext": "elsewhere"}')
    assert find_endpoint(home) == expected
    assert find_endpoint({"DOCKER_CONFIG": str(docker)}) == expected
    assert find_endpoint({**home, "DOCKER_CONTEXT": "default"}) == Endpoint("unix:///var/run/docker.sock")
    assert find_endpoint({**home, "DOCKER_HOST": "tcp://here"}).url == "tcp://here:2375"
    (tmp_path / ".testcontainers.properties").write_text("docker.host = x\ntc.host = tcp://there:1\n")
    there = Endpoint("tcp://there:1", f"tc.host in {tmp_path / '.testcontainers.properties'}")
    assert find_endpoint({**home, "DOCKER_HOST": "tcp://here"}) == there


def test_a_context_with_certificates(tmp_path: Path) -> None:
    context(tmp_path, "elsewhere", META, tls=True)
    found = find_endpoint({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "elsewhere"})
    assert found.verify
    assert found.certificates
    assert found.certificates.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        (None, "context nowhere (DOCKER_CONTEXT): there is no such context"),
        ([], "cannot be read as a context with a docker endpoint: TypeError"),
        ({}, "cannot be read as a context with a docker endpoint: KeyError: 'Endpoints'"),
        ({"Endpoints": {"docker": {"Host": "banana"}}}, "banana (the context nowhere): no address of an engine"),
    ],
)
def test_a_context_that_is_none(tmp_path: Path, meta: object, said: str) -> None:
    if meta is not None:
        context(tmp_path, "nowhere", meta)
    with pytest.raises(BadEndpoint) as bad:
        find_endpoint({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "nowhere"})
    assert said in str(bad.value)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"currentContext": null}', "\x00"])
def test_a_config_that_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert find_endpoint({"DOCKER_CONFIG": str(tmp_path)}).named_by == ""


def test_certificates(tmp_path: Path) -> None:
    host = {"DOCKER_HOST": "tcp://build"}
    mine = certificates(tmp_path / "mine")
    named = {**host, "DOCKER_CERT_PATH": str(mine)}
    assert find_endpoint({**named, "DOCKER_TLS_VERIFY": "1"}) == Endpoint("tcp://build:2376", "DOCKER_HOST", mine, True)
    assert find_endpoint(named).verify is False
    assert find_endpoint({**host, "DOCKER_TLS_VERIFY": "", "DOCKER_CERT_PATH": ""}).certificates is None
    home = {**host, "DOCKER_TLS_VERIFY": "1", "HOME": str(tmp_path)}
    with pytest.raises(BadEndpoint, match=r"TLS is asked for, and .*/\.docker has no ca\.pem, cert\.pem, key\.pem"):
        find_endpoint(home)
    assert find_endpoint({**home, "DOCKER_CONFIG": str(mine)}).certificates == mine
    # a socket file needs none
    assert find_endpoint({**home, "DOCKER_HOST": "unix:///run/docker.sock"}).certificates is None


def test_certificates_that_are_no_certificates(tmp_path: Path) -> None:
    folder = certificates(tmp_path / "mine")
    env = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder)}
    assert find_engine(env).problem.startswith("TLS fails: ")


@pytest.mark.parametrize(
    ("url", "override", "host", "local"),
    [
        ("unix:///var/run/docker.sock", None, "127.0.0.1", True),
        ("unix:///var/run/docker.sock", "localhost", "localhost", True),
        ("unix:///tmp/tunnel.sock", "build", "build", False),
        ("tcp://localhost:2375", None, "localhost", True),
        ("tcp://10.0.0.1:2375", None, "10.0.0.1", False),
        ("tcp://10.0.0.1:2375", "10.0.0.2", "10.0.0.2", False),
        ("ssh://me@build:22/run/docker.sock", None, "build", False),
    ],
)
def test_where_published_ports_are(
    monkeypatch: pytest.MonkeyPatch, url: str, override: str | None, host: str, local: bool
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_HOST_OVERRIDE", override or "")
    engine = Engine(url, "28.2")
    assert (engine.host, engine.local) == (host, local)


# who answers


def test_nothing_is_there(tmp_path: Path) -> None:
    missing, folder = find_engine({"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}), f"unix://{tmp_path}"
    assert str(missing) == f"unix://{tmp_path}/docker.sock (DOCKER_HOST): there is no such socket"
    assert find_engine({"DOCKER_HOST": folder}).problem == "the connection was refused"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert find_engine({"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}).problem == "the connection was refused"


def test_a_name_without_an_address() -> None:
    engine = find_engine({"DOCKER_HOST": "tcp://nowhere..invalid:2375"})
    assert engine.problem.startswith("its host has no address here (")


@contextmanager
def listener(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """DOCKER_HOST of something that answers so, until the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def http_answer(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def engine_of(version: str, api: str) -> bytes:
    return http_answer(json.dumps({"Version": version, "ApiVersion": api}))


def say(data: bytes) -> Callable[[socket.socket], object]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(data)

    return answer


STRANGERS = {
    "garbage": (say(b"\x00\xff garbage\r\n\r\n"), "what answers there is no engine (BadStatusLine: "),
    "a greeting": (say(b"SSH-2.0-OpenSSH_9.2\r\n"), "what answers there is no engine (BadStatusLine: SSH-2.0-OpenSSH"),
    "nothing": (say(b""), "what answers there is no engine (RemoteDisconnected: "),
    "a page": (say(http_answer("<html>")), "it answers /version with 200 '<html>', which no engine does"),
    "an error": (
        say(http_answer("gone", "404 Not Found")),
        "it answers /version with 404 'gone', which no engine does",
    ),
    "no object": (say(http_answer("[1]")), "it answers /version with 200 '[1]', which no engine does"),
    "half": (say(http_answer('{"Version": "1"}')), 'it answers /version with 200 \'{"Version": "1"}\', which no'),
    "no version": (say(engine_of("1", "new")), "which no engine does"),
    "cut off": (say(http_answer("x" * 99)[:-9]), "which no engine does"),
    "TLS": (say(http_answer("Client sent an HTTP request to an HTTPS server.\n", "400 Bad Request")), "HTTPS server"),
    "too old": (say(engine_of("1.9.1", "1.21")), "engine 1.9.1 speaks API 1.21, and 1.24 or newer is needed"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_something_that_is_no_engine_answers(name: str) -> None:
    answer, said = STRANGERS[name]
    with listener(answer) as host:
        engine = find_engine({"DOCKER_HOST": host})
    assert said in engine.problem
    assert engine.version is None
    expected = {"TLS": "DOCKER_TLS_VERIFY and DOCKER_CERT_PATH must fit the engine", "too old": "update Docker, or"}
    assert engine.remedy.startswith(expected.get(name, "start Docker, or name an engine in DOCKER_HOST"))


def test_a_web_server_is_no_engine(tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        engine = find_engine({"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}"})
        server.shutdown()
        thread.join()
    assert engine.problem.startswith("it answers /version with 404 ")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_an_engine_answers() -> None:
    with listener(say(engine_of("28.2", "1.50"))) as host:
        engine = find_engine({"DOCKER_HOST": host})
    assert str(require(engine)) == f"engine 28.2 at {host}"
    assert engine.settings == {
        "DOCKER_HOST": host,
        "DOCKER_CERT_PATH": "",
        "DOCKER_TLS_VERIFY": "",
        "DOCKER_API_VERSION": "1.50",
    }


def test_one_that_says_nothing_is_waited_for_and_no_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        engine = find_engine({"DOCKER_HOST": f"tcp://127.0.0.1:{server.getsockname()[1]}"})
        took_s = time.monotonic() - began
    assert engine.problem == "no answer within 3 s"
    assert ANSWER_WITHIN_S <= took_s < TOLD_WITHIN_S


def test_one_that_never_ends_is_not_waited_for() -> None:
    """Each byte comes in time, and there is always another."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.wait(0.2):
            connection.sendall(b"x")

    with listener(drip) as host:
        began = time.monotonic()
        engine = find_engine({"DOCKER_HOST": host})
        took_s = time.monotonic() - began
        over.set()
    assert engine.problem == "no whole answer within 3 s"
    assert took_s < TOLD_WITHIN_S
