"""Which backend is chosen, by whose word, and what choosing loads. Nothing here needs Docker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.session.backend import Backend, choose_backend

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
WITHIN_S = 60.0
HEAVY = ("docker", "testcontainers")


@pytest.fixture
def engine() -> Iterator[dict[str, str]]:
    """The environment of something that answers as an engine does."""
    body = json.dumps({"Version": "28.2", "ApiVersion": "1.50"})
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer_once, args=(server, body))
        thread.start()
        yield {"DOCKER_HOST": f"tcp://127.0.0.1:{server.getsockname()[1]}"}
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _answer_once(server: socket.socket, body: str) -> None:
    try:
        connection, _ = server.accept()
    except OSError:  # nobody asked
        return
    with connection:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


def test_auto_takes_docker_where_an_engine_answers(engine: dict[str, str]) -> None:
    backend = choose_backend(None, environ=engine)
    assert str(backend) == f"docker (engine 28.2 at {engine['DOCKER_HOST']} answers)"
    assert backend.engine
    assert not backend.asked


@pytest.mark.parametrize("asked", [None, "auto"])
def test_auto_falls_back_and_says_why(asked: str | None) -> None:
    backend = choose_backend(asked, environ=NO_ENGINE)
    assert backend.name == "local"
    assert backend.engine is None
    assert backend.why == (
        "no Docker engine answers: unix:///nowhere/docker.sock (DOCKER_HOST): there is no such socket"
    )


def test_auto_falls_back_from_a_variable_that_is_no_address() -> None:
    backend = choose_backend(None, environ={"DOCKER_HOST": "banana"})
    assert str(backend) == "local (no Docker engine answers: banana (DOCKER_HOST): no address of an engine)"


def test_local_does_not_look() -> None:
    assert choose_backend("local", environ=NO_ENGINE) == Backend("local", "--backend says so", asked=True)
    named = choose_backend(None, environ={**NO_ENGINE, "CHAOSHARNESS_BACKEND": "local"})
    assert named == Backend("local", "CHAOSHARNESS_BACKEND says so")


def test_docker_that_was_asked_for_does_not_fall_back() -> None:
    """What is missing is told when the first server is started."""
    backend = choose_backend("docker", "--chaos-backend", NO_ENGINE)
    assert backend.name == "docker"
    assert backend.engine
    assert not backend.engine.ok
    assert str(backend) == f"docker ({backend.engine}; --chaos-backend says so)"


@pytest.mark.parametrize(
    ("asked", "environ", "said"),
    [
        ("podman", {}, "--backend: unknown backend 'podman' (known: auto, docker, local)"),
        (None, {"CHAOSHARNESS_BACKEND": "podman"}, "CHAOSHARNESS_BACKEND: unknown backend 'podman' (known: auto, "),
        (None, {"CHAOSHARNESS_BACKEND": "dokcer"}, "unknown backend 'dokcer'; did you mean \"docker\"?"),
    ],
)
def test_one_that_there_is_not(asked: str | None, environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput) as bad:
        choose_backend(asked, environ=environ)
    assert said in str(bad.value)


@pytest.mark.parametrize("asked", ["auto", "docker", "local"])
def test_choosing_loads_no_library(asked: str, engine: dict[str, str]) -> None:
    code = f"from chaosharness.session.backend import choose_backend; print(choose_backend({asked!r}))\n{LOADED}"
    said = _run([sys.executable, "-c", code], None, engine)
    assert said.splitlines()[-1] == "[]"


LOADED = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules])"


@pytest.mark.parametrize("backend", ["auto", "docker"])
def test_a_pytest_without_flows_loads_no_library(tmp_path: Path, engine: dict[str, str], backend: str) -> None:
    """Every pytest where chaosharness is installed asks the engine for its version: that must be all."""
    (tmp_path / "test_plain.py").write_text(f"def test_it():\n    import sys\n    {LOADED}\n")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-s", "--chaos-backend", backend]
    said = _run(argv, tmp_path, engine)
    assert "chaosharness: backend docker (engine 28.2 at tcp://127.0.0.1:" in said
    assert "test_plain.py []" in said, said


def test_the_header_says_why_it_is_local(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--chaos-backend", "auto", "--chaos-seed", "7"]
    said = _run(argv, tmp_path, NO_ENGINE, code=5)
    expected = "no Docker engine answers: unix:///nowhere/docker.sock (DOCKER_HOST): there is no such socket"
    assert f"chaosharness: backend local ({expected}), seed 7" in said


def _run(argv: list[str], folder: Path | None, env: dict[str, str], code: int = 0) -> str:
    ended = subprocess.run(
        argv, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=WITHIN_S
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout
