"""An engine elsewhere behind ssh, and one that insists on certificates: found, used, and told where it refuses.

sshd and dockerd are real, on ports and with keys of the tests' own; nobody's ~/.ssh or ~/.docker is read.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from backends import SKIP_DOCKER
from docker_runs import CELL, Ran, kill_a_harness, shipper
from remote_engine import NoRig, RemoteEngine, remote_engine, two_addresses

from chaosharness.keeper import tree
from chaosharness.keeper.client import KeeperClient
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Recipe
from chaosharness.servers.docker.client import connect
from chaosharness.servers.docker.engine import Engine, find_engine
from chaosharness.servers.docker.images import image_of
from chaosharness.servers.docker.launcher import DockerLauncher
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.logs import tail
from chaosharness.servers.toxiproxy import Toxiproxy

WITHIN_S = 30.0
PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
SSH = shutil.which("ssh", path=PATH)
SSH_PORT = 2222
SSHD = """
mount -t tmpfs none /run
mkdir /run/sshd
exec $(command -v sshd) -D -e -f "$1"
"""
"""In mounts of its own: sshd wants a folder in /run."""
SSHD_CONFIG = """\
Port {port}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/mine.pub
StrictModes no
UsePAM no
PasswordAuthentication no
"""
SSH_CONFIG = """\
Host *
    IdentityFile {folder}/mine
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known
Host buildbox
    HostName {address}
    Port {port}
    User root
"""
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@pytest.fixture(scope="module")
def toxiproxy_image(docker_engine: Engine) -> str:
    return image_of("toxiproxy", Toxiproxy.image).name


def call(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=WITHIN_S, env={**os.environ, "PATH": PATH})


# ssh


@dataclass(frozen=True)
class Behind:
    """An engine with an sshd beside it."""

    remote: RemoteEngine
    folder: Path
    """Keys, configuration, and `bin` with an ssh that reads them."""

    @property
    def url(self) -> str:
        return f"ssh://root@{self.remote.address}:{SSH_PORT}{self.remote.socket}"


@pytest.fixture(scope="module")
def behind_ssh(
    docker_engine: Engine, toxiproxy_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    if not shutil.which("sshd", path=PATH):
        pytest.skip("there is no sshd; `apt-get install openssh-server` adds it")
    folder = tmp_path_factory.mktemp("ssh")
    redis = os.environ["CHAOSHARNESS_IMAGE_REDIS"]
    try:
        with (
            remote_engine(folder / "remote", docker_engine, [toxiproxy_image, redis]) as remote,
            KeeperClient.start(folder / "keeper") as keeper,
        ):
            behind = Behind(remote, folder)
            _configure(behind)
            argv = remote.host_command("unshare", "--mount", "sh", "-ec", SSHD, "sh", str(folder / "sshd_config"))
            recipe = Recipe("sshd", tuple(argv), {"PATH": PATH}, folder, folder / "sshd.log")
            sshd = LocalLauncher(keeper).launch(recipe)
            wait_for("sshd to listen", WITHIN_S, lambda: "listening" in recipe.log.read_text() or not sshd.alive())
            assert sshd.alive(), tail(recipe.log)
            yield behind
    except NoRig as why:
        pytest.fail(f"{why}\n{SKIP_DOCKER}=1 says that there is no Docker here")


def _configure(behind: Behind) -> None:
    folder, address = behind.folder, behind.remote.address
    for name in ("host", "mine", "other"):
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    (folder / "known").write_text(f"[{address}]:{SSH_PORT} {(folder / 'host.pub').read_text()}")
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(port=SSH_PORT, folder=folder))
    (folder / "ssh_config").write_text(SSH_CONFIG.format(port=SSH_PORT, folder=folder, address=address))
    (folder / "bin").mkdir()
    _write_program(folder / "bin" / "ssh", folder / "ssh_config")


def _write_program(ssh: Path, config: Path) -> None:
    ssh.write_text(f'#!/bin/sh\nexec {SSH} -F {config} "$@"\n')
    ssh.chmod(0o755)


@pytest.fixture
def by_ssh(behind_ssh: Behind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Behind]:
    """The environment leads there; every tunnel's folder is gone at the end."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setenv("PATH", f"{behind_ssh.folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", behind_ssh.url)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield behind_ssh
    assert list(temporary.iterdir()) == []
    assert behind_ssh.remote.left() == []


def test_an_engine_behind_ssh_is_found(by_ssh: Behind) -> None:
    engine = find_engine()
    assert engine.ok, engine
    assert str(engine) == f"engine {engine.version} at {by_ssh.url}"
    assert engine.host == by_ssh.remote.address
    assert not engine.local


def test_an_engine_behind_ssh_is_used(
    by_ssh: Behind, keeper: KeeperClient, toxiproxy_image: str, tmp_path: Path
) -> None:
    """By one ssh, through which the container's output comes too."""
    with DockerLauncher(find_engine(), keeper) as launcher:
        toxiproxy = Toxiproxy(1).start(launcher, tmp_path / "toxiproxy", toxiproxy_image)
        assert len(tunnels()) == 1
        wait_for("its output", WITHIN_S, lambda: "Starting" in toxiproxy.log.read_text())
        assert toxiproxy.nodes["api"].host == by_ssh.remote.address
    assert tunnels() == []


def tunnels() -> list[int]:
    """Processes of this one's that are ssh."""
    return [row.pid for row in tree.below(tree.scan(), os.getpid()) if not row.gone and _program(row.pid) == "ssh"]


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_scenarios_run_behind_ssh(by_ssh: Behind, tmp_path: Path) -> None:
    ran = Ran(tmp_path, {"CHAOSHARNESS_BACKEND": "docker"}, "run", str(shipper(tmp_path)), "--json")
    assert ran.verdicts() == {CELL: "upheld"}, ran


def test_a_client_closes_its_tunnel(by_ssh: Behind) -> None:
    with closing(connect(find_engine().settings, 10)) as client:
        assert client.ping()
        assert client.tunnel
        assert client.tunnel.folder.exists()
    assert not client.tunnel.folder.exists()
    assert tunnels() == []


def test_a_tunnel_ends_with_who_made_it(by_ssh: Behind, tmp_path: Path) -> None:
    code = "import sys; from chaosharness.servers.docker.tunnel import Tunnel; t = Tunnel(sys.argv[1]); "
    code += "print(t._ssh.pid, flush=True); sys.stdin.read()"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    argv = [sys.executable, "-c", code, by_ssh.url]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout
        ssh = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    wait_for("ssh to end", WITHIN_S, lambda: not (row := tree.look(ssh)) or row.gone)


def test_what_a_killed_harness_left_behind_ssh_is_removed(by_ssh: Behind, tmp_path: Path) -> None:
    """By its keeper, through a tunnel of its own."""
    kill_a_harness(tmp_path)
    wait_for("its networks to be removed", WITHIN_S, lambda: by_ssh.remote.left() == [], poll_s=0.1)
    wait_for("its tunnels to end", WITHIN_S, lambda: tunnels() == [])
    wait_for("their folders to go", WITHIN_S, lambda: not list(Path(os.environ["TMPDIR"]).iterdir()))


def test_a_name_that_only_ssh_knows(by_ssh: Behind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The engine answers, but where its published ports are is not known."""
    env = {"CHAOSHARNESS_BACKEND": "docker", "DOCKER_HOST": f"ssh://buildbox{by_ssh.remote.socket}"}
    ran = Ran(tmp_path, env, "run", str(shipper(tmp_path)))
    assert ran.code == 2, ran
    assert "the engine's host 'buildbox' has no IPv4 address here" in ran.err
    assert "TESTCONTAINERS_HOST_OVERRIDE names another" in ran.err
    ran = Ran(tmp_path, {**env, "TESTCONTAINERS_HOST_OVERRIDE": by_ssh.remote.address}, "run", "flows.toml", "--json")
    assert ran.verdicts() == {CELL: "upheld"}, ran


REFUSALS = {
    "key": (("{folder}/mine", "{folder}/other"), "Permission denied (publickey"),
    "host": (("{folder}/known", "{folder}/mine.pub"), "Host key verification failed"),
    "port": (("{port}", "9"), "Connection refused"),
    "socket": (("", ""), "ssh says: channel"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_ssh_complains_of_is_told(by_ssh: Behind, tmp_path: Path, name: str) -> None:
    (good, bad), said = REFUSALS[name]
    text = SSH_CONFIG.replace(good, bad) if good else SSH_CONFIG
    config = tmp_path / "ssh_config"
    config.write_text(text.format(folder=by_ssh.folder, address=by_ssh.remote.address, port=SSH_PORT))
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    _write_program(ssh, config)
    socket = "/nowhere/docker.sock" if name == "socket" else by_ssh.remote.socket
    env = {"CHAOSHARNESS_BACKEND": "docker", "DOCKER_HOST": f"ssh://buildbox{socket}"}
    env["PATH"] = f"{ssh.parent}:{os.environ['PATH']}"
    ran = Ran(tmp_path, env, "run", str(shipper(tmp_path)))
    assert ran.code == 2, ran
    assert f"no Docker engine: ssh://buildbox{socket} (DOCKER_HOST): " in ran.err
    assert said in ran.err
    assert ("sshd there must let this user forward" if name == "socket" else "without a question") in ran.err


def test_no_ssh_at_all(by_ssh: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_engine().problem == "there is no program ssh on PATH"


# TLS


@dataclass(frozen=True)
class Certified:
    """An engine that insists on certificates, and where they are."""

    remote: RemoteEngine
    mine: Path
    strangers: Path
    """Of a client that another authority vouches for."""


@pytest.fixture(scope="module")
def certified(
    docker_engine: Engine, toxiproxy_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Certified]:
    folder = tmp_path_factory.mktemp("tls")
    addresses = two_addresses()
    mine, strangers, server = (folder / name for name in ("mine", "strangers", "server"))
    for authority in (mine, strangers):
        authority.mkdir()
        _certify("ca", authority, ["-subj", "/CN=an authority"])
        _certify("cert", authority, ["-subj", "/CN=a client", *_signed_by(authority)])
    server.mkdir()
    named = ["-subj", "/CN=an engine", "-addext", f"subjectAltName=IP:{addresses[1]}"]
    _certify("cert", server, [*named, *_signed_by(mine)])
    options = ["--tlsverify", "--tlscacert", str(mine / "ca.pem")]
    options += ["--tlscert", str(server / "cert.pem"), "--tlskey", str(server / "key.pem")]
    tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(mine)}
    try:
        with remote_engine(folder / "remote", docker_engine, [toxiproxy_image], options, tls, addresses) as remote:
            yield Certified(remote, mine, strangers)
    except NoRig as why:
        pytest.fail(f"{why}\n{SKIP_DOCKER}=1 says that there is no Docker here")


def _certify(name: str, folder: Path, how: list[str]) -> None:
    """`name`.pem and its key; a certificate's is named as Docker wants it."""
    key = folder / ("key.pem" if name == "cert" else f"{name}-key.pem")
    call("openssl", "req", "-x509", *KEY, *how, "-keyout", str(key), "-out", str(folder / f"{name}.pem"))


def _signed_by(authority: Path) -> list[str]:
    return ["-CA", str(authority / "ca.pem"), "-CAkey", str(authority / "ca-key.pem")]


def test_an_engine_with_certificates_is_found_and_used(
    certified: Certified, keeper: KeeperClient, toxiproxy_image: str, tmp_path: Path
) -> None:
    engine = certified.remote.look()
    assert engine.ok, engine
    with DockerLauncher(engine, keeper) as launcher:
        toxiproxy = Toxiproxy(1).start(launcher, tmp_path / "toxiproxy", toxiproxy_image)
        wait_for("its output", WITHIN_S, lambda: "Starting" in toxiproxy.log.read_text())
    assert certified.remote.left() == []


def test_a_context_with_certificates(
    certified: Certified, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keeper: KeeperClient
) -> None:
    """The variables say nothing of it: neither for the session nor for what sweeps after it."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    mine = {"host": certified.remote.url} | {part: certified.mine / f"{part}.pem" for part in ("ca", "cert", "key")}
    how = ",".join(f"{name}={value}" for name, value in mine.items())
    call("docker", "context", "create", "certified", "--docker", how)
    call("docker", "context", "use", "certified")
    engine = find_engine()
    assert engine.ok, engine
    assert engine.named_by == "the context certified"
    with DockerLauncher(engine, keeper) as launcher:
        assert launcher.ground.links.gateway
        assert "DOCKER_HOST" not in os.environ
        assert certified.remote.left() != []
    assert certified.remote.left() == []
    kill_a_harness(tmp_path)
    wait_for("its networks to be removed", WITHIN_S, lambda: certified.remote.left() == [], poll_s=0.1)


def test_certificates_that_do_not_fit(certified: Certified) -> None:
    url = certified.remote.url
    bare = find_engine({"DOCKER_HOST": url})
    assert bare.problem.startswith("it answers /version with 400 'Client sent an HTTP request to an HTTPS server.")
    assert "DOCKER_TLS_VERIFY and DOCKER_CERT_PATH must fit the engine" in bare.remedy
    strange = {"DOCKER_HOST": url, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certified.strangers)}
    assert find_engine(strange).problem == "TLS fails: CERTIFICATE_VERIFY_FAILED"
    # it looks away from the engine's certificate; the engine does not look away from this one
    unverified = find_engine({**strange, "DOCKER_TLS_VERIFY": ""})
    assert unverified.problem.startswith("TLS fails: ")
    assert unverified.remedy == bare.remedy


def test_certificates_that_are_not_there(certified: Certified, tmp_path: Path) -> None:
    env = {"DOCKER_HOST": certified.remote.url, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    ran = Ran(tmp_path, {**env, "CHAOSHARNESS_BACKEND": "docker"}, "run", str(shipper(tmp_path)))
    assert ran.code == 2, ran
    assert f"TLS is asked for, and {tmp_path} has no ca.pem, cert.pem, key.pem; DOCKER_CERT_PATH names" in ran.err


def test_certificates_for_an_engine_that_has_none(certified: Certified, behind_ssh: Behind) -> None:
    env = {"DOCKER_HOST": behind_ssh.remote.url, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certified.mine)}
    engine = find_engine(env)
    assert engine.problem.startswith("TLS fails: ")
