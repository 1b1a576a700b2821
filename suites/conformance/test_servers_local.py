"""The backend `local`: instances that are processes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from keeper_rig import PATH, SOON_S, wait_logged

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.address import Address
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance, Launcher, Recipe, Scope, Signal
from chaosharness.servers.local import LocalLauncher


def writer(folder: Path) -> Recipe:
    """Leaves files in its folder, old and new."""
    script = "echo 1 >> data/file; mkdir -p data/more new; echo 1 > new/file; echo up; exec sleep 1000"
    nodes = {"it": Address("127.0.0.1", 1)}
    return Recipe("a", ("sh", "-c", script), {"PATH": PATH}, folder, folder / "a.log", nodes)


def test_it_is_what_the_ports_ask_for(keeper: KeeperClient, tmp_path: Path) -> None:
    launcher: Launcher = LocalLauncher(keeper)
    (tmp_path / "data").mkdir()
    recipe = writer(tmp_path)
    instance: Instance = launcher.launch(recipe)
    assert (launcher.backend, instance.name, instance.nodes, instance.log) == (
        "local", "a", {"it": Address("127.0.0.1", 1)}, tmp_path / "a.log",
    )  # fmt: skip
    wait_logged(recipe, "up")
    assert instance.alive()
    assert instance.signal(Signal.FREEZE).ok
    assert instance.signal(Signal.THAW, Scope.TREE).ok
    assert instance.signal(Signal.KILL).ok
    assert not instance.alive()
    assert instance.restart().ok
    assert not instance.restart().ok
    assert instance.remotes() == ()
    assert instance.stop(SOON_S).ok
    assert instance.exits() == ()


def test_a_command_that_is_not_there_is_bad_input(keeper: KeeperClient, tmp_path: Path) -> None:
    recipe = Recipe("a", ("no-such-command", "-v"), {"PATH": PATH}, tmp_path, tmp_path / "a.log")
    with pytest.raises(BadInput, match=r"a: cannot run 'no-such-command'.*No such file"):
        LocalLauncher(keeper).launch(recipe)


def test_without_its_data_it_starts_as_it_first_did(keeper: KeeperClient, tmp_path: Path) -> None:
    folder = tmp_path / "keeper" / "a"
    (folder / "data").mkdir(parents=True)
    (folder / "configuration").write_text("kept")
    recipe = writer(folder)
    instance = LocalLauncher(keeper).launch(recipe)
    wait_logged(recipe, "up")
    refused = instance.restart(keep_data=False)
    assert not refused.ok  # it is up
    assert (folder / "new" / "file").exists()

    assert instance.signal(Signal.KILL).ok
    assert instance.restart(keep_data=True).ok
    wait_logged(recipe, "up", times=2)
    assert (folder / "data" / "file").read_text() == "1\n1\n"

    assert instance.signal(Signal.KILL).ok
    assert instance.restart(keep_data=False).ok
    wait_logged(recipe, "up", times=3)
    assert (folder / "data" / "file").read_text() == "1\n"
    assert (folder / "configuration").read_text() == "kept"


def test_a_folder_that_is_not_the_harness_s_own_is_never_emptied(keeper: KeeperClient, tmp_path: Path) -> None:
    folder = tmp_path / "sources"
    (folder / "data").mkdir(parents=True)
    recipe = writer(folder)
    instance = LocalLauncher(keeper).launch(recipe)
    wait_logged(recipe, "up")
    assert instance.signal(Signal.KILL).ok
    with pytest.raises(BadInput, match="not the harness's own folder"):
        instance.restart(keep_data=False)
    assert (folder / "new" / "file").exists()


def test_free_ports_are_free_below_the_ephemeral_range_and_never_given_twice(keeper: KeeperClient) -> None:
    launcher = LocalLauncher(keeper)
    ports = [launcher.free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(10_000 <= port < first_ephemeral for port in ports)


@pytest.mark.parametrize("taken_by", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_not_given(keeper: KeeperClient, monkeypatch: pytest.MonkeyPatch, taken_by: str) -> None:
    with socket.create_server((taken_by, 0)) as server:
        with socket.create_server(("127.0.0.1", 0)) as for_a_moment:
            taken, free = (one.getsockname()[1] for one in (server, for_a_moment))
        monkeypatch.setattr("chaosharness.servers.local._port_range", lambda: [taken, free])
        assert LocalLauncher(keeper).free_port() == free


def test_a_port_that_another_was_given_is_not_given(keeper: KeeperClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was given it may take seconds to bind it."""
    given = LocalLauncher(keeper).free_port()
    monkeypatch.setattr("chaosharness.servers.local._port_range", lambda: range(given, given + 1))
    with pytest.raises(HarnessBroke, match="no free port"):
        LocalLauncher(keeper).free_port()


def test_a_child_that_listens_on_a_given_port(keeper: KeeperClient, tmp_path: Path) -> None:
    launcher = LocalLauncher(keeper)
    port = launcher.free_port()
    argv = ("/usr/bin/env", "python3", "-c", f"import socket; socket.create_server(('127.0.0.1', {port})).accept()")
    instance = launcher.launch(Recipe("a", argv, {"PATH": PATH}, tmp_path, tmp_path / "a.log"))

    def connects() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return True
        except OSError:
            return False

    wait_for("it to listen", SOON_S, connects)
    wait_for("its end", SOON_S, lambda: not instance.alive())
    assert instance.exits() == (0,)
