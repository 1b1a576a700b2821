"""Where servers and systems under test come from: a launcher makes instances of recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from chaosharness.model.address import Address


class Signal(StrEnum):
    """What can be sent to an instance."""

    TERM = "term"
    KILL = "kill"
    FREEZE = "freeze"
    THAW = "thaw"


class Scope(StrEnum):
    """To whom: the whole tree of processes, the parent alone, or the children alone."""

    TREE = "tree"
    PARENT = "parent"
    CHILD = "child"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows that something happened: never the call's own return, always a look afterwards."""

    ok: bool
    what: str
    """In words: `SIGKILL to 3 processes; all gone after 2 ms`."""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to run one server or one replica of a system under test, for any backend."""

    name: str
    """Unique in the session: `rabbitmq.0`, `payment.1`."""
    argv: tuple[str, ...]
    env: Mapping[str, str]
    """The whole environment: nothing is inherited."""
    folder: Path
    """Working folder; for a server also its data."""
    log: Path
    """Standard output and error, line by line, each with its time."""
    nodes: Mapping[str, Address] = field(default_factory=dict)
    """What it listens on, by name: `amqp`, `management`."""
    restart: str = "never"
    """`always`: as a supervisor would, at once, with a growing pause when it exits again and again."""
    stdio: tuple[int, int] | None = None
    """File descriptors to become its standard input and output (a driven producer); None: none, and the log."""


@dataclass(frozen=True, slots=True)
class ContainerRecipe:
    """How to run one server or one replica of a system under test as a container."""

    name: str
    """Unique in the session: `rabbitmq`, `payment.1`."""
    image: str
    env: Mapping[str, str]
    """Beside the image's own."""
    log: Path
    """Standard output and error, line by line, each with its time."""
    command: tuple[str, ...] = ()
    """In place of the image's own; empty: the image's own."""
    ports: Mapping[str, int | None] = field(default_factory=dict)
    """What it listens on inside, by node; None: whatever port it is published at, the same inside."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Absolute path inside to content; put there before the first start."""
    hostname: str | None = None
    workdir: str | None = None
    network: str | None = None
    """A network of the user's that it joins too."""
    service: bool = False
    """A system under test: on the network of links, where no server is."""
    restart: str = "never"
    """As in `Recipe`."""
    stdio: tuple[int, int] | None = None
    """As in `Recipe`."""


@dataclass(frozen=True, slots=True)
class Way:
    """How links reach this machine, on which taps and sinks listen."""

    bind: str = "127.0.0.1"
    """The address that taps and sinks listen at."""
    seen_as: str = "127.0.0.1"
    """The host by which Toxiproxy reaches them there."""


class Instance(Protocol):
    """One running server or replica; it may go through several incarnations."""

    @property
    def name(self) -> str: ...

    @property
    def nodes(self) -> Mapping[str, Address]:
        """What it listens on, by name, as this machine reaches it."""
        ...

    @property
    def inside(self) -> Mapping[str, Address]:
        """The same, as a container of this session reaches it."""
        ...

    @property
    def log(self) -> Path: ...

    def alive(self) -> bool:
        """Whether any process of it is alive now."""
        ...

    def exits(self) -> Sequence[int]:
        """Exit codes of the incarnations that ended without being asked to (negative: a signal)."""
        ...

    def signal(self, signal: Signal, scope: Scope = Scope.TREE) -> Evidence:
        """Sends it and looks: a KILL returns when the processes are gone, a FREEZE when they are stopped.

        After a KILL or TERM of the tree or the parent the instance stays down until `restart`, whatever its policy.
        """
        ...

    def kill_owner(self, local: Address) -> Evidence:
        """SIGKILL of the one child that has the established TCP connection with this local address open.

        Nothing is sent, and `ok` is false, where no process has it, several do, or the first of the tree does: facts
        `owners` (process ids) and `parent` (the first is among them) tell. The others live on, and no restart follows
        but what the system under test does by itself; `left`: the processes alive afterwards.
        """
        ...

    def survivors(self) -> int:
        """How many processes would live on if the first of its tree were killed: a container's end with its first."""
        ...

    def restart(self, keep_data: bool = True) -> Evidence:
        """Starts the next incarnation of one that is down; the same name and addresses."""
        ...

    def stop(self, grace_s: float) -> Evidence:
        """SIGTERM to the parent, then after `grace_s` SIGKILL to what is left of the tree; no restart after it."""
        ...

    def remotes(self) -> Sequence[Address]:
        """Where TCP connections of any process of the tree lead now: for the guard against a bypass."""
        ...


class Launcher(Protocol):
    """A backend: `local` | `docker`."""

    @property
    def backend(self) -> str: ...

    def launch(self, recipe: Recipe | ContainerRecipe) -> Instance:
        """Starts it; returns as soon as the process exists. Raises BadInput if the command or image is not there."""
        ...

    def ensure_image(self, image: str, named_by: str) -> None:
        """Fetches a container image where it is not there. Raises BadInput naming the image and who named it."""
        ...

    def close(self) -> None:
        """Ends what it launched that no keeper ends. Idempotent."""
        ...

    def record_to(self, folder: Path | None) -> None:
        """From now on starts, signals and exits go to ledger files in `folder`; those before it are ended."""
        ...

    def ways(self) -> Sequence[Way]:
        """How links may reach this machine, the likeliest first."""
        ...

    def free_port(self) -> int:
        """A port that nothing listens on, below the kernel's ephemeral range."""
        ...


@dataclass(frozen=True, slots=True)
class Namespace:
    """A scenario's own piece of a server: a vhost, a database. Queue names in it are the system under test's own."""

    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    """What a connection string needs: user, password, vhost, db."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether this machine can start a server, how, and what is missing."""

    server: str
    ok: bool
    version: str | None
    how: str
    """The program that would be run, where `ok`; else what is missing, in words."""
    remedy: str | None = None
    """The one command that adds what is missing."""


class Server(Protocol):
    """One kind of server; one file in servers/."""

    name: str
    port: str
    """The node (a key of `Instance.nodes`) that clients connect to and links lead to."""
    image: str
    """The official container image, by pinned tag."""

    def available(self) -> Availability:
        """Whether this machine can run it as a process; looks, starts nothing."""
        ...

    def start(self, launcher: Launcher, folder: Path, image: str | None = None) -> Instance:
        """Starts it and returns when it is ready for clients; without an image, as a process in `folder`.

        Raises MissingServer, BadInput (an image that is not to be had), ServerFailed.
        """
        ...

    def version(self, instance: Instance) -> str:
        """As the running server tells it."""
        ...

    def wait_ready(self, instance: Instance) -> None:
        """Returns when clients can be served, e.g. after a restart. Raises ServerFailed with the log's tail."""
        ...

    def lease(self, instance: Instance, name: str) -> Namespace:
        """A fresh, empty piece for one scenario."""
        ...

    def release(self, instance: Instance, namespace: Namespace) -> None:
        """Gives it back and removes what is in it."""
        ...
