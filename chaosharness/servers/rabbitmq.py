"""RabbitMQ as one process or container that leaves nothing behind, and a vhost of its own for each scenario.

In: a launcher and a folder. Out: an instance with the nodes `amqp` and `management`, its log in `folder/rabbitmq.log`
(a process's configuration in `folder/conf`, its data in `folder/data`); leases, each a fresh vhost.
To try it: `suites/conformance/test_servers_rabbitmq.py`.

The node runs without epmd, Erlang's port mapper, which would outlive it: a single node that is told its own port needs
none (erl's flags `-start_epmd` and `-erl_epmd_port`). `rabbitmqctl` reaches it when given the same port.
Stop it by SIGKILL: a graceful end takes RabbitMQ 3.10 six seconds.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke
from chaosharness.ports.launch import Availability, ContainerRecipe, Instance, Launcher, Namespace, Recipe
from chaosharness.servers.availability import find_program, program_of, wait_until_ready
from chaosharness.servers.rabbitmq_control import DISTRIBUTION, DISTRIBUTION_PORT, NODE

REMEDY = "apt-get install -y rabbitmq-server"
INSTALLED = Path("/usr/lib/rabbitmq/lib")
"""Where Debian puts it: the `rabbitmq-server` on its PATH insists on being root or the user rabbitmq; this does not."""
USER = "chaosharness"
"""Also the password: the broker lives for one run, and is reached from this machine alone (an engine elsewhere: from
wherever its host is)."""
WANTED_PLUGIN = "rabbitmq_management"
PLUGINS = f"[{WANTED_PLUGIN}].\n"
INSIDE = {"amqp": 5672, "management": 15672}
"""The ports in a container."""
AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"
LOOK_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 10.0
VHOST_NAME_LENGTH = 100


class RabbitMQ:
    """One node of RabbitMQ. `config`: further lines of rabbitmq.conf; `erl_args`: further arguments of `erl`."""

    name = "rabbitmq"
    port = "amqp"
    image = "rabbitmq:4.0.5"

    def __init__(self, config: Sequence[str] = (), erl_args: Sequence[str] = ()) -> None:
        self.config = tuple(config)
        self.erl_args = tuple(erl_args)

    def available(self) -> Availability:
        """Looks for the program and for Erlang; starts nothing."""
        program = _program()
        if program is None:
            how = f"neither {INSTALLED}/rabbitmq_server-* nor rabbitmq-server on PATH"
            return Availability(self.name, False, None, how, REMEDY)
        if shutil.which("erl") is None:
            return Availability(
                self.name, False, _version(program), f"{program} needs erl, which is not on PATH", REMEDY
            )
        return Availability(self.name, True, _version(program), str(program))

    def start(self, launcher: Launcher, folder: Path, image: str | None = None) -> Instance:
        """Starts it in `folder`, whose name becomes the instance's. Raises MissingServer, BadInput, ServerFailed."""
        folder = folder.resolve()
        instance = launcher.launch(self._container(folder, image) if image else self._process(launcher, folder))
        self.wait_ready(instance)
        return instance

    def version(self, instance: Instance) -> str:
        """As the management API tells it. Raises HarnessBroke."""
        with _Management(instance) as api:
            return str(api.ask("GET", "/overview").json()["rabbitmq_version"])

    def wait_ready(self, instance: Instance) -> None:
        """Returns when AMQP shakes hands and the node says that it listens. Raises ServerFailed with the log's tail."""
        port = instance.inside["amqp"].port

        def serves() -> bool:
            return _shakes_hands(instance.nodes["amqp"]) and _says_it_listens(instance.nodes["management"], port)

        wait_until_ready(instance, serves)

    def lease(self, instance: Instance, name: str) -> Namespace:
        """A vhost that did not exist before, named after `name` in characters that a URL takes as they are."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:VHOST_NAME_LENGTH] or "vhost"
        with _Management(instance) as api:
            for vhost in (f"{stem}-{number}" for number in count(1)):
                if api.call("PUT", f"/vhosts/{vhost}") == requests.codes.created:
                    break
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            api.call("PUT", f"/permissions/{vhost}/{USER}", everything)
        return Namespace(vhost, {"user": USER, "password": USER, "vhost": vhost})

    def release(self, instance: Instance, namespace: Namespace) -> None:
        """Deletes the vhost and its queues; the broker closes what is connected to it. Raises HarnessBroke."""
        with _Management(instance) as api:
            api.call("DELETE", f"/vhosts/{quote(namespace.name, safe='')}")

    def _process(self, launcher: Launcher, folder: Path) -> Recipe:
        program = program_of(self.available(), "RabbitMQ")
        amqp, management, distribution = (Address("127.0.0.1", launcher.free_port()) for _ in range(3))
        return Recipe(
            name=folder.name,
            argv=(program,),
            env=self._configure(Path(program), folder, amqp, management, distribution.port),
            folder=folder / "data",
            log=folder / "rabbitmq.log",
            nodes={"amqp": amqp, "management": management, DISTRIBUTION: distribution},
        )

    def _container(self, folder: Path, image: str) -> ContainerRecipe:
        config = (*_config(*(Address("0.0.0.0", port) for port in INSIDE.values())), "loopback_users = none")
        return ContainerRecipe(
            name=folder.name,
            image=image,
            command=("rabbitmq-server",),
            env=self._environment(DISTRIBUTION_PORT),
            log=folder / "rabbitmq.log",
            ports=dict(INSIDE),
            files={
                "/etc/rabbitmq/rabbitmq.conf": "\n".join((*config, *self.config, "")).encode(),
                "/etc/rabbitmq/enabled_plugins": PLUGINS.encode(),
            },
        )

    def _configure(
        self, program: Path, folder: Path, amqp: Address, management: Address, distribution_port: int
    ) -> Mapping[str, str]:
        """Writes what the node reads before it starts; returns its whole environment."""
        conf, data = folder / "conf", folder / "data"
        conf.mkdir(parents=True)
        data.mkdir()
        cookie = conf / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        (conf / "enabled_plugins").write_text(PLUGINS)
        (conf / "rabbitmq-env.conf").touch()
        (conf / "rabbitmq.conf").write_text("\n".join((*_config(amqp, management), *self.config, "")))
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(conf),
            "LANG": "C.UTF-8",
            **self._environment(distribution_port),
            "RABBITMQ_CONFIG_FILE": str(conf / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(conf / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(conf / "enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": str(_plugin_folder(program, conf / "plugins")),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(conf / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(conf / "schema"),
            "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
        }

    def _environment(self, distribution_port: int) -> dict[str, str]:
        """What holds for a process and for a container."""
        erl_args = (
            "-sname", NODE, "-start_epmd", "false", "-erl_epmd_port", str(distribution_port),
            "-kernel", "inet_dist_use_interface", "{127,0,0,1}",
            # A durable queue that was declared moments before a SIGKILL was now and then gone after it: the log of
            # Mnesia, RabbitMQ's table store, is dumped every three minutes by default.
            "-mnesia", "dump_log_time_threshold", "200",
            # Consumers' time-outs are looked after at each tick of their channel: by default once a minute.
            # The counts of a quorum queue are as old as its last tick: by default up to 5 s.
            "-rabbit", "channel_tick_interval", "1000", "-rabbit", "quorum_tick_interval", "100", *self.erl_args,
        )  # fmt: skip
        return {
            "ERL_CRASH_DUMP_SECONDS": "0",
            # The start script then becomes the node, instead of staying its parent and turning signals into commands.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(erl_args),
            # Its default, none, is for containers that share a processor, and doubles the time to start.
            "RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD": "short",
        }


class _Management:
    """The management API of one instance, for the length of one `with`; no proxy of the environment is asked."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (USER, USER)

    def __enter__(self) -> _Management:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> int:
        """The status of `ask`."""
        return self.ask(method, path, body).status_code

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        """The answer, 2xx; anything else raises HarnessBroke with what was asked and what was answered."""
        url = f"http://{self._instance.nodes['management']}/api{path}"
        asked = f"{self._instance.name}: {method} {url}"
        try:
            answer = self._session.request(method, url, json=body, timeout=CALL_TIMEOUT_S)
        except requests.RequestException as error:
            raise HarnessBroke(f"{asked} was not answered: {error}; see {self._instance.log}") from error
        if not answer.ok:
            raise HarnessBroke(
                f"{asked} was answered with {answer.status_code}: {answer.text[:300]}; see {self._instance.log}"
            )
        return answer


def _config(amqp: Address, management: Address) -> Iterator[str]:
    yield f"listeners.tcp.local = {amqp}"
    yield f"management.tcp.ip = {management.host}"
    yield f"management.tcp.port = {management.port}"
    yield f"default_user = {USER}"
    yield f"default_pass = {USER}"
    # A full disk of the test machine is not a fault that somebody aimed.
    yield "disk_free_limit.absolute = 1MB"
    # Statistics lag by seconds and cost time; the live totals of a queue do without.
    yield "management_agent.disable_metrics_collector = true"
    yield "log.file = false"
    yield "log.console = true"
    yield "log.console.level = info"
    yield "log.console.use_colors = off"


def _program() -> Path | None:
    installed = INSTALLED.glob("rabbitmq_server-*/sbin/rabbitmq-server")
    newest = max(
        installed, key=lambda path: [int(number) for number in re.findall(r"\d+", path.parts[-3])], default=None
    )
    return newest or find_program("rabbitmq-server")


def _version(program: Path) -> str | None:
    """From the folder that every package installs into: `rabbitmq_server-3.10.8`, `Cellar/rabbitmq/4.0.5`."""
    found = re.search(r"rabbitmq(?:_server-|/)(\d+\.\d+\.\d+)", str(program.resolve()))
    return found[1] if found else None


def _plugin_folder(program: Path, trimmed: Path) -> Path:
    """A folder of links to the plugins that management needs: the node reads each plugin's manifest, 0.5 s for all.

    The installed folder itself where its layout is another (archives instead of folders, a manifest that is not there).
    """
    installed = program.resolve().parents[1] / "plugins"
    manifests = {path.stem: path for path in installed.glob("*/ebin/*.app")}
    needed: set[str] = set()
    ahead = [WANTED_PLUGIN]
    while ahead:
        name = ahead.pop()
        if name in needed or name not in manifests:  # what is not a plugin is a part of Erlang
            continue
        needed.add(name)
        applications = re.search(r"\{applications,\s*\[([^\]]*)\]", manifests[name].read_text())
        ahead += re.findall(r"\w+", applications[1]) if applications else []
    if not {WANTED_PLUGIN, "rabbitmq_management_agent", "rabbitmq_web_dispatch", "rabbit"} <= needed:
        return installed
    trimmed.mkdir()
    for name in needed:
        plugin = manifests[name].parents[1]
        (trimmed / plugin.name).symlink_to(plugin)
    return trimmed


def _shakes_hands(amqp: Address) -> bool:
    """Whether the protocol header is answered with Connection.Start."""
    try:
        with socket.create_connection((amqp.host, amqp.port), timeout=LOOK_TIMEOUT_S) as connection:
            connection.sendall(AMQP_HEADER)
            return connection.recv(1) == METHOD_FRAME
    except OSError:
        return False


def _says_it_listens(management: Address, port: int) -> bool:
    """Whether its start is over, which it is not yet when it first shakes hands: asked for a vhost's queues, 4.0 then
    takes a second to answer that there are none."""
    url = f"http://{management}/api/health/checks/port-listener/{port}"
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(url, auth=(USER, USER), timeout=LOOK_TIMEOUT_S)
        except requests.RequestException:
            return False
        return answer.ok
