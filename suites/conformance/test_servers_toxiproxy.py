"""Toxiproxy as a server: found, started, ready, and what is said where it is not there.

What is of a process alone (its program) is of the backend local; the rest is of every one.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from backends import start

from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke, MissingServer, ServerFailed
from chaosharness.ports.launch import Launcher, Recipe, Signal
from chaosharness.servers import toxiproxy
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.toxiproxy import PROGRAM, Toxiproxy


def test_it_starts_serves_and_comes_back_after_a_kill(backend_launcher: Launcher, tmp_path: Path) -> None:
    server = Toxiproxy(links=2)
    instance = start(backend_launcher, server, tmp_path / "toxiproxy")
    assert instance.name == "toxiproxy"
    lease = server.lease(instance, "payment")
    assert lease.name == "payment"
    nodes, version = instance.nodes, server.version(instance)
    assert re.fullmatch(r"git|\d+\.\d+\.\d+", version)  # what `go install` builds does not know its own
    assert instance.signal(Signal.KILL).ok
    with pytest.raises(ServerFailed, match="toxiproxy ended before it was ready"):
        server.wait_ready(instance)
    with pytest.raises(HarnessBroke, match="toxiproxy: cannot tell its version"):
        server.version(instance)
    assert instance.restart().ok
    server.wait_ready(instance)
    assert (instance.nodes, server.version(instance)) == (nodes, version)
    server.release(instance, lease)
    stopped = instance.stop(5)
    assert stopped.ok
    assert not stopped.facts["forced"]
    assert instance.log.read_text().count("Starting Toxiproxy HTTP server") == 2


def test_a_process_has_one_port_and_a_container_those_of_its_links_too(
    backend_launcher: Launcher, tmp_path: Path
) -> None:
    """Inside, a link's port is the one that it is published at: a link has one port, wherever it is seen from."""
    instance = start(backend_launcher, Toxiproxy(links=2), tmp_path / "toxiproxy")
    if backend_launcher.backend == "local":
        assert list(instance.nodes) == ["api"]
        assert instance.inside == instance.nodes
    else:
        assert sorted(instance.nodes) == sorted(instance.inside) == ["api", "link.0", "link.1"]
        assert instance.inside["api"].port == 8474
        assert all(instance.inside[node].port == instance.nodes[node].port for node in ("link.0", "link.1"))
        assert len({address.host for address in instance.nodes.values()}) == 1
        assert len({address.host for address in instance.inside.values()}) == 1
    assert instance.stop(0).ok


def test_what_answers_without_being_toxiproxy_is_told(launcher: LocalLauncher, tmp_path: Path) -> None:
    server = Toxiproxy()
    nodes = {"api": Address("127.0.0.1", launcher.free_port())}
    program = (
        "import http.server as h, sys\n"
        "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    other = launcher.launch(
        Recipe(
            "other",
            (sys.executable, "-c", program, str(nodes["api"].port)),
            {},
            tmp_path,
            tmp_path / "other.log",
            nodes,
        )
    )
    with pytest.raises(ServerFailed, match="no Toxiproxy"):
        server.wait_ready(other)
    assert other.signal(Signal.KILL).ok


def test_a_build_by_go_install_knows_its_version() -> None:
    found = Toxiproxy().available()
    assert found.ok
    assert found.version is not None
    assert found.version[0].isdigit()


def test_where_there_is_none_the_remedy_is_named(
    launcher: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PROGRAM, raising=False)
    monkeypatch.setattr(toxiproxy, "find_program", lambda on_path, in_cache: None)
    with pytest.raises(MissingServer, match=r"go install .*toxiproxy/v2/cmd/server@v2"):
        Toxiproxy().start(launcher, tmp_path / "toxiproxy")


def test_a_named_program_that_is_none_is_not_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PROGRAM, str(tmp_path / "none"))
    found = Toxiproxy().available()
    assert not found.ok
    assert PROGRAM in found.how


@pytest.mark.parametrize(
    ("says", "ok", "how"),
    [
        ("toxiproxy-server version 2.5.0", True, "program"),
        ("toxiproxy-server version git", True, "program"),
        ("toxiproxy-server version 2.4.9", False, "2.5 or newer is needed"),
        ("something else 3", False, "does not answer -version as Toxiproxy does"),
    ],
)
def test_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, ok: bool, how: str) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho {says}\n")
    program.chmod(0o755)
    monkeypatch.setenv(PROGRAM, str(program))
    found = Toxiproxy().available()
    assert found.ok is ok
    assert how in found.how
