"""Plugins as anybody could write them: good ones, leaning on this version's own, and one for each way to be wrong."""

from __future__ import annotations

from typing import Any, Protocol

from chaosharness.faults.crash import Crash
from chaosharness.model.gate import Action
from chaosharness.servers.redis import Redis
from chaosharness.sinks.http import HttpSink
from chaosharness.sinks.http_stub import HttpStub


class ToyFault(Crash):
    id = "toy"


class ToySink(HttpSink):
    name = "toy"
    stub = "toy"


class ToyStub(HttpStub):
    pass


class Misnamed(Crash):
    id = "other"


class BrokenFault(Crash):
    id = 3  # type: ignore[assignment]
    action = "hold"  # type: ignore[assignment]
    inject = None  # type: ignore[assignment]


class ToyServer(Redis):
    name = "toy"


class ServerWithoutContainers:
    """It was written when there were processes alone."""

    name = port = "toy"

    def available(self) -> None: ...

    def start(self, launcher: Any, folder: Any) -> None: ...

    def wait_ready(self, instance: Any) -> None: ...

    def lease(self, instance: Any, name: str) -> None: ...

    def release(self, instance: Any, namespace: Any) -> None: ...


class HalfStub(HttpStub):
    def __init__(self, finder: Any) -> None: ...


class Explodes:
    def __init__(self) -> None:
        raise RuntimeError("no such thing")


class Port(Protocol):
    """A small port, for every way to break one."""

    name: str
    action: Action

    @property
    def open(self) -> bool: ...

    def send(self, key: str, body: bytes, again: bool = False) -> None: ...

    def close(self) -> None: ...


class Attributes:
    name = "good"
    action = Action.HOLD
    open = True


class Closes(Attributes):
    def close(self, *, now: bool = False) -> None: ...


class Good(Closes):
    def send(self, key: str, body: bytes, again: bool = False, more: int = 1) -> None: ...


class Generous(Attributes):
    def send(self, *args: Any, **named: Any) -> None: ...

    @staticmethod
    def close(*args: Any) -> None: ...


class Swapped(Closes):
    def send(self, body: bytes, key: str, again: bool = False) -> None: ...


class Unnamed(Closes):
    def send(self, key: str, body: bytes, again: bool = False, /) -> None: ...


class Strict(Attributes):
    def send(self, key: str, body: bytes, again: bool) -> None: ...

    def close(self, when: int) -> None: ...


class Wrong:
    name = 5
    action = "hold"
    close = "yes"
