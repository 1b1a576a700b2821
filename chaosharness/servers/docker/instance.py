"""One container through its incarnations: started, signalled, restarted by policy, recorded.

Goes in: a recipe. Comes out: an instance (`ports.launch.Instance`) with evidence gathered by looking afterwards, and
the events that a process of the keeper's would leave: started, signalled, exited. To try it:
`suites/conformance/test_docker_instance.py`.

A container's end is its first process's: the kernel ends every other with it, so that `Scope.PARENT` is the tree for
KILL. An exit code is as Docker tells it: 128 + the signal's number where a signal ended it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import docker.errors
import requests

from chaosharness.keeper.instance import QUICK_S, pause_s
from chaosharness.keeper.linelog import LineLog
from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.ports.launch import ContainerRecipe, Evidence, Scope, Signal
from chaosharness.servers.docker import inside
from chaosharness.servers.docker.streams import Streams

Record = Callable[[Kind, Mapping[str, Any]], None]
KILL_S = 10.0
FREEZE_S = 5.0
LOST = (docker.errors.DockerException, requests.RequestException, OSError)


class DockerInstance:
    """One server or replica as a container. Thread-safe."""

    def __init__(
        self,
        recipe: ContainerRecipe,
        create: Callable[[], Any],
        discard: Callable[[Any], Future[None]],
        record: Record,
        look: inside.Look,
        nodes: Mapping[str, Address],
    ) -> None:
        """`create` makes the container, not started; `discard` removes one; `look` sees what goes on in it."""
        self.name = recipe.name
        self.nodes = nodes
        self.log = recipe.log
        self.container = create()
        self.incarnation = 0
        self._recipe = recipe
        self._create = create
        self._discard = discard
        self._record = record
        self._look = look
        self._log = LineLog(recipe.log)
        self._changed = threading.Condition()
        self._codes: list[int] = []
        self._exits: list[int] = []
        self._up = False
        self._down_wanted = False
        self._repeats = 0
        self._lost: str | None = None

    # what it is now

    @property
    def inside(self) -> Mapping[str, Address]:
        """Its nodes as a container of the session reaches them: by the container's own address."""
        host = self._look.address(self.container)
        ports = self._recipe.ports
        return {node: Address(host, ports[node] or address.port) for node, address in self.nodes.items()}

    def alive(self) -> bool:
        """Whether it runs (a frozen one does), as the engine told last."""
        self._check()
        return self._up

    def exits(self) -> Sequence[int]:
        """Exit codes of the incarnations that ended unasked."""
        return tuple(self._exits)

    def remotes(self) -> tuple[Address, ...]:
        """Where the connections that it opened lead now. Raises HarnessBroke if that cannot be seen."""
        return self._look.remotes(self.container) if self.alive() else ()

    # what the harness does

    def start(self) -> Evidence:
        """The next incarnation. Raises docker.errors.APIError, e.g. for a command that is not in the image."""
        began = time.monotonic()
        with self._changed:
            self._down_wanted = False
            number = self.incarnation + 1
        streams = Streams(self._look.client, self.container.id, self._log, self._recipe.stdio)
        try:
            self.container.start()
        except BaseException:
            streams.end()
            raise
        self.container.reload()
        pid = self.container.attrs["State"]["Pid"]
        with self._changed:
            self._up, self.incarnation = True, number
        self._record(Kind.STARTED, {"instance": self.name, "pid": pid, "incarnation": number})
        watch = threading.Thread(
            target=self._watch, args=(streams, number, time.monotonic()), name=f"watch of {self.name}", daemon=True
        )
        watch.start()
        return Evidence(
            True,
            f"{self.name} started: container {self.container.short_id}, incarnation {number}",
            {"pids": [pid], "incarnation": number, "took_ms": _ms(began)},
        )

    def signal(self, signal: Signal, scope: Scope = Scope.TREE) -> Evidence:
        """Sends it and looks; after KILL or TERM of the tree or the parent it stays down until `restart`."""
        self._check()
        began = time.monotonic()
        if scope is not Scope.CHILD and signal in (Signal.KILL, Signal.TERM):
            with self._changed:
                self._down_wanted = True
        if not self._up:
            return Evidence(False, f"{self.name} was not running: nothing to {signal}", {"pids": []})
        if scope is Scope.CHILD:
            return self._signal_children(signal, began)
        self.container.reload()
        pids = [self.container.attrs["State"]["Pid"]]
        self._record(
            Kind.SIGNALLED, {"instance": self.name, "signal": signal.value, "scope": scope.value, "pids": pids}
        )
        match signal:
            case Signal.KILL:
                return self._kill(pids, began)
            case Signal.TERM:
                self._send("SIGTERM")
                return Evidence(True, f"SIGTERM to container {self.container.short_id}", _facts(pids, began))
            case _:
                return self._stop_or_go(signal, scope, pids, began)

    def restart(self, keep_data: bool = True) -> Evidence:
        """The next incarnation of one that is down; ok=False if it is up. Without its data: of a new container."""
        self._check()
        if self._up:
            return Evidence(False, f"{self.name} is up already", {})
        if not keep_data:
            self._discard(self.container).result()
            self.container = self._create()
        self._repeats = 0
        return self.start()

    def stop(self, grace_s: float) -> Evidence:
        """SIGTERM (or the image's stop signal), `grace_s` seconds, SIGKILL; then the container is removed."""
        began = time.monotonic()
        with self._changed:
            self._down_wanted = True
        if not self._up:
            self._discard(self.container)
            return Evidence(True, f"{self.name} was not running", {"codes": [], "forced": False, "pids": []})
        self.container.reload()
        if self.container.attrs["State"].get("Paused"):
            self.container.unpause()
        forced = True
        if grace_s > 0:
            asked = self.container.attrs["Config"].get("StopSignal") or "SIGTERM"
            data = {"instance": self.name, "signal": Signal.TERM.value, "scope": Scope.PARENT.value, "pids": []}
            self._record(Kind.SIGNALLED, data)
            self._send(asked)
            forced = not self._await_down(grace_s)
        if forced:
            self._send("SIGKILL")
            if not self._await_down(KILL_S):
                return Evidence(False, f"{self.name}: SIGKILL, and it still runs", _facts([], began))
        codes = self._codes[-1:]
        self._discard(self.container)
        how = f"SIGKILL after {grace_s:g} s" if forced else f"SIGTERM, exit code {codes}"
        facts = {"codes": codes, "forced": forced, **_facts([], began)}
        return Evidence(True, f"{self.name} stopped: {how}; container gone", facts)

    # how

    def _kill(self, pids: list[int], began: float) -> Evidence:
        self._send("SIGKILL")
        self.container.reload()
        if self.container.attrs["State"].get("Paused"):  # the signal waits for the thaw, and comes before anything runs
            with suppress(docker.errors.APIError):
                self.container.unpause()
        if not self._await_down(KILL_S):
            what = f"SIGKILL to container {self.container.short_id}; still running after {KILL_S:g} s"
            return Evidence(False, what, _facts(pids, began))
        what = f"SIGKILL to container {self.container.short_id}; gone, exit code {self._codes[-1]}"
        return Evidence(True, f"{what}, after {_ms(began):g} ms", _facts(pids, began))

    def _stop_or_go(self, signal: Signal, scope: Scope, pids: list[int], began: float) -> Evidence:
        freezing = signal is Signal.FREEZE
        if scope is Scope.PARENT:
            self._send("SIGSTOP" if freezing else "SIGCONT")
            what = f"SIG{'STOP' if freezing else 'CONT'} to the first process of {self.container.short_id}"
            return Evidence(True, what, _facts(pids, began))
        with suppress(docker.errors.APIError):  # it is already: the look says so
            self.container.pause() if freezing else self.container.unpause()
        self.container.reload()
        paused = bool(self.container.attrs["State"].get("Paused"))
        what = f"container {self.container.short_id} is {'frozen' if paused else 'running'}"
        return Evidence(paused is freezing, what, _facts(pids, began))

    def _signal_children(self, signal: Signal, began: float) -> Evidence:
        name = {"kill": "KILL", "term": "TERM", "freeze": "STOP", "thaw": "CONT"}[signal]
        data: dict[str, Any] = {"instance": self.name, "signal": signal.value, "scope": Scope.CHILD.value, "pids": []}
        self._record(Kind.SIGNALLED, data)
        struck, left = self._look.signal_children(self.container, name)
        ok = bool(struck) and (signal is not Signal.KILL or not left)
        what = f"SIG{name} to {len(struck)} children in {self.container.short_id}: {struck}; {len(left)} left"
        return Evidence(ok, what, {**_facts(struck, began), "left": left})

    def _send(self, signal: str) -> None:
        try:
            self.container.kill(signal)
        except docker.errors.APIError as refused:
            if refused.status_code not in (404, 409):  # it has ended meanwhile
                raise

    def _await_down(self, within_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._up or self._lost is not None, within_s) and not self._up

    def _watch(self, streams: Streams, number: int, born: float) -> None:
        """Waits for the incarnation's end, records it, and starts the next one where the policy says so."""
        try:
            code = int(self.container.wait(timeout=None)["StatusCode"])
        except LOST as error:
            with self._changed:
                self._lost = f"{self.name}: its engine cannot be asked any more: {error}"
                self._changed.notify_all()
            return
        streams.end()
        with self._changed:
            asked = self._down_wanted
            data = {"instance": self.name, "pid": 0, "incarnation": number, "code": code, "asked": asked, "gone": True}
            self._record(Kind.EXITED, data)
            self._codes.append(code)
            if not asked:
                self._exits.append(code)
            self._up = False
            self._changed.notify_all()
        if not asked and self._recipe.restart == "always":
            self._again(born)

    def _again(self, born: float) -> None:
        if time.monotonic() - born >= QUICK_S:
            self._repeats = 0
        with self._changed:
            if self._changed.wait_for(lambda: self._down_wanted, pause_s(self._repeats)):
                return
        self._repeats += 1
        try:
            self.start()
        except LOST as error:
            with self._changed:
                self._lost = f"{self.name}: it could not be started again: {error}"
                self._changed.notify_all()

    def _check(self) -> None:
        if self._lost:
            raise HarnessBroke(self._lost)


def _facts(pids: list[int], began: float) -> dict[str, Any]:
    return {"pids": pids, "took_ms": _ms(began)}


def _ms(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
