"""One container through its incarnations: started, signalled, restarted by policy, recorded.

Goes in: a recipe. Comes out: an instance (`ports.launch.Instance`) with evidence gathered by looking afterwards, and
the events that a process of the keeper's would leave: started, signalled, exited. To try it:
`suites/conformance/test_docker_instance.py`.

A container's end is its first process's: the kernel ends every other with it, so that `Scope.PARENT` is the tree for
KILL. TERM goes to the first process alone, as by `docker stop`. An exit code is as Docker tells it: 128 + the signal's
number where a signal ended it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import docker.errors
import requests

from chaosharness.keeper.instance import QUICK_S, pause_s
from chaosharness.keeper.linelog import LineLog
from chaosharness.keeper.signals import words_of_owners
from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.ports.launch import ContainerRecipe, Evidence, Scope, Signal
from chaosharness.servers.docker import inside
from chaosharness.servers.docker.streams import Stdio, Streams

Record = Callable[[Kind, Mapping[str, Any]], None]
KILL_S = 10.0
YOUNG_S, AGAIN_S = 5.0, 0.5
"""One that was started so recently may not handle signals yet: it is asked again and again to end."""
LOST = (docker.errors.DockerException, requests.RequestException, OSError)
NAMES = {Signal.KILL: "KILL", Signal.TERM: "TERM", Signal.FREEZE: "STOP", Signal.THAW: "CONT"}


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
        self._stdio = Stdio(recipe.stdio) if recipe.stdio else None
        self._streams: Streams | None = None
        self._turn = threading.RLock()
        """One change at a time: a start by policy, and what the harness asks for."""
        self._changed = threading.Condition()
        self._codes: list[int] = []
        self._exits: list[int] = []
        self._pid = 0
        self._born = 0.0
        self._up = False
        self._paused = False
        self._down_wanted = False
        self._ended = False
        self._repeats = 0
        self._lost: str | None = None

    # what it is now

    @property
    def inside(self) -> Mapping[str, Address]:
        """Its nodes as a container of the session reaches them: by the container's own address. Raises HarnessBroke."""
        with self._asking():
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
        if not self.alive():
            return ()
        with self._asking():
            return self._look.remotes(self.container)

    def execute(self, argv: Sequence[str]) -> tuple[int, str]:
        """Runs a program of the image in it: its exit code, and all that it said. Raises HarnessBroke."""
        with self._asking():
            code, said = self.container.exec_run(list(argv))
        return int(code), said.decode("utf-8", "replace")

    # what the harness does

    def start(self) -> Evidence:
        """The first incarnation. Raises docker.errors.APIError, e.g. for a command that is not in the image."""
        with self._turn:
            return self._start()

    def signal(self, signal: Signal, scope: Scope = Scope.TREE) -> Evidence:
        """Sends it and looks; after KILL or TERM of the tree or the parent it stays down until `restart`."""
        began = time.monotonic()
        if scope is not Scope.CHILD and signal in (Signal.KILL, Signal.TERM):
            self._want_down()
        with self._turn, self._asking():
            self._check()
            if not self._up:
                return Evidence(False, f"{self.name} was not running: nothing to {signal}", {"pids": []})
            self._signalled(signal, scope)
            if scope is Scope.CHILD:
                return self._strike_children(signal, began)
            match signal:
                case Signal.KILL:
                    return self._kill(began)
                case Signal.TERM:
                    self._send("SIGTERM")
                    return Evidence(True, f"SIGTERM to {self._words}", self._facts(began))
                case _ if scope is Scope.PARENT:
                    return self._stop_or_go_first(signal, began)
                case _:
                    return self._stop_or_go(signal is Signal.FREEZE, began)

    def kill_owner(self, local: Address) -> Evidence:
        """SIGKILL of the child that has the connection from `local` open; facts as of a process of the keeper's."""
        began = time.monotonic()
        with self._turn, self._asking():
            self._check()
            if not self._up:
                return Evidence(False, f"{self.name} was not running: nothing to kill", {"pids": []})
            owners = self._look.owners(self.container, local)
            facts = {"owners": list(owners), "parent": 1 in owners, "local": str(local)}
            if len(owners) != 1 or facts["parent"]:
                what = words_of_owners(f"{self.name}, {self._words}", local, owners, 1 in owners)
                return Evidence(False, what, {**self._facts(began), "pids": [], **facts})
            self._signalled(Signal.KILL, Scope.CHILD, owners)
            struck = self._look.kill(self.container, owners[0])
        state = "still there" if struck.left else "gone"
        what = f"SIGKILL to process {owners[0]} in {self._words}, which has the connection from {local}; {state}"
        facts |= {**self._facts(began), "pids": list(owners), "left": list(struck.living)}
        return Evidence(not struck.left, f"{what}, {len(struck.living)} left", facts)

    def survivors(self) -> int:
        """None: the kernel ends the others with the first."""
        return 0

    def restart(self, keep_data: bool = True) -> Evidence:
        """The next incarnation of one that is down; ok=False if it is up. Without its data: of a new container."""
        with self._turn, self._asking():
            self._check()
            if self._ended:
                return Evidence(False, f"{self.name} was stopped: its container is gone")
            if self._up:
                return Evidence(False, f"{self.name} is up already", {"pids": [self._pid]})
            if not keep_data:
                before, self.container = self.container, self._create()
                self._discard(before)
            self._repeats = 0
            self._down_wanted = False
            return self._start()

    def stop(self, grace_s: float) -> Evidence:
        """SIGTERM (or the image's stop signal), `grace_s` seconds, SIGKILL; then the container is removed."""
        began = time.monotonic()
        self._want_down()
        with self._turn, self._asking():
            if not self._up:
                self.discard()
                return Evidence(True, f"{self.name} was not running", {"codes": [], "forced": False, "pids": []})
            try:
                return self._stop(grace_s, began)
            finally:
                self.discard()

    def discard(self) -> None:
        """Removes the container, in the background: it cannot be started again. Idempotent."""
        with self._changed:
            if self._ended:
                return
            self._ended = True
            self._discard(self.container)
            if not self._up or self._lost:
                self._close()

    # how

    def _start(self) -> Evidence:
        began = time.monotonic()
        container, number = self.container, self.incarnation + 1
        streams = Streams(self._look.client, container.id, self._log, self._stdio)
        try:
            container.start()
        except BaseException:
            streams.end(0)
            raise
        container.reload()
        self._pid = container.attrs["State"]["Pid"]
        self._streams = streams
        with self._changed:
            self._up, self._paused, self.incarnation = True, False, number
        self._record(Kind.STARTED, self._data(incarnation=number, pid=self._pid))
        self._born = began
        args = container, streams, number, began
        threading.Thread(target=self._watch, args=args, name=f"watch of {self.name}", daemon=True).start()
        what = f"{self.name} started: {self._words}, incarnation {number}"
        return Evidence(True, what, {"incarnation": number, **self._facts(began)})

    def _kill(self, began: float) -> Evidence:
        what = f"SIGKILL to {self._words}"
        self._send_kill()
        if not self._await_down(KILL_S):
            return Evidence(False, f"{what}; still running after {KILL_S:g} s", self._facts(began))
        facts = self._facts(began)
        return Evidence(True, f"{what}; gone, exit code {self._codes[-1]}, after {facts['took_ms']:g} ms", facts)

    def _stop(self, grace_s: float, began: float) -> Evidence:
        if self._paused:
            self.container.unpause()
        forced = True
        if grace_s > 0:
            self._signalled(Signal.TERM, Scope.PARENT)
            forced = not self._asked_to_end(grace_s)
        if forced:
            self._signalled(Signal.KILL, Scope.TREE)
            self._send_kill()
        facts = {"codes": [], "forced": forced, **self._facts(began)}
        if not self._await_down(KILL_S):
            return Evidence(False, f"{self.name}: SIGKILL to {self._words}, and it still runs", facts)
        codes = self._codes[-1:]
        how = f"SIGKILL after {grace_s:g} s" if forced else f"SIGTERM, exit code {codes}"
        facts = {"codes": codes, "forced": forced, **self._facts(began)}
        return Evidence(True, f"{self.name} stopped: {how}; {self._words} gone", facts)

    def _asked_to_end(self, grace_s: float) -> bool:
        """False if it does not end. Of a first process the kernel throws away what that does not handle (yet)."""
        signal = self.container.attrs["Config"].get("StopSignal") or "SIGTERM"
        deadline = time.monotonic() + grace_s
        again_s = AGAIN_S if time.monotonic() - self._born < YOUNG_S else grace_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._send(signal)
            if self._await_down(min(again_s, left_s)):
                return True
        return False

    def _stop_or_go(self, freezing: bool, began: float) -> Evidence:
        with suppress(docker.errors.APIError):  # it is already: the look says so
            self.container.pause() if freezing else self.container.unpause()
        self.container.reload()
        self._paused = bool(self.container.attrs["State"].get("Paused"))
        what = f"{self._words} is {'frozen' if self._paused else 'running'}"
        return Evidence(self._paused is freezing, what, self._facts(began))

    def _stop_or_go_first(self, signal: Signal, began: float) -> Evidence:
        name = NAMES[signal]
        self._send(f"SIG{name}")
        seen = self._look.look_at_first(self.container, name)
        ok = bool(seen.pids) and not seen.left
        what = f"SIG{name} to the first process of {self._words}{'' if ok else '; without effect'}"
        return Evidence(ok, what, self._facts(began))

    def _strike_children(self, signal: Signal, began: float) -> Evidence:
        name = NAMES[signal]
        struck = self._look.signal_children(self.container, name)
        what = f"SIG{name} to children in {self._words}: {list(struck.pids) or 'there are none'}"
        if struck.left:
            what += f"; without effect on {list(struck.left)}"
        facts = {**self._facts(began), "pids": list(struck.pids), "left": list(struck.left)}
        return Evidence(bool(struck.pids) and not struck.left, what, facts)

    def _send_kill(self) -> None:
        if self._streams:
            self._streams.hurry()
        self._send("SIGKILL")

    def _send(self, signal: str) -> None:
        try:
            self.container.kill(signal)
        except docker.errors.APIError as refused:
            if refused.status_code not in (404, 409):  # it has ended meanwhile
                raise

    def _want_down(self) -> None:
        """Nothing but `restart` starts it from now on; a pause before a start by policy ends."""
        with self._changed:
            self._down_wanted = True
            self._changed.notify_all()

    def _await_down(self, within_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._up or self._lost is not None, within_s) and not self._up

    # what becomes of it

    def _watch(self, container: Any, streams: Streams, number: int, born: float) -> None:
        """Waits for the incarnation's end, records it, and starts the next one where the policy says so."""
        try:
            code = int(container.wait(timeout=None)["StatusCode"])
        except LOST as error:
            streams.end(0)
            self._lose(f"its engine cannot be asked any more: {error}")
            return
        streams.end()
        with self._changed:
            asked = self._down_wanted
            self._record(Kind.EXITED, self._data(incarnation=number, pid=self._pid, code=code, asked=asked, gone=True))
            self._codes.append(code)
            if not asked:
                self._exits.append(code)
            self._up = False
            if self._ended:
                self._close()
            self._changed.notify_all()
        if not asked and self._recipe.restart == "always":
            self._again(born)

    def _again(self, born: float) -> None:
        """As a supervisor would: at once, then with a growing pause."""
        if time.monotonic() - born >= QUICK_S:
            self._repeats = 0
        with self._changed:
            if self._changed.wait_for(lambda: self._down_wanted, pause_s(self._repeats)):
                return
        with self._turn:
            if self._down_wanted or self._up:
                return
            self._repeats += 1
            try:
                self._start()
            except LOST as error:
                self._lose(f"it could not be started again: {error}")

    def _lose(self, why: str) -> None:
        with self._changed:
            self._lost = f"{self.name}: {why}"
            self._changed.notify_all()

    def _check(self) -> None:
        if self._lost:
            raise HarnessBroke(self._lost)

    def _close(self) -> None:
        self._log.close()
        if self._stdio:
            self._stdio.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except LOST as lost:
            raise HarnessBroke(f"{self.name}: {self._words}: the engine does not do what it is asked: {lost}") from lost

    # in words and data

    @property
    def _words(self) -> str:
        return f"container {self.container.short_id}"

    def _facts(self, began: float) -> dict[str, Any]:
        took_ms = round((time.monotonic() - began) * 1000, 1)
        return {"container": self.container.short_id, "pids": [self._pid], "took_ms": took_ms}

    def _data(self, **data: Any) -> dict[str, Any]:
        return {"instance": self.name, "container": self.container.short_id, **data}

    def _signalled(self, signal: Signal, scope: Scope, inside: Sequence[int] = ()) -> None:
        """Into the ledger, before it is sent; `inside`: the children's ids in the container, where they are known."""
        pids = list(inside) if scope is Scope.CHILD else [self._pid]
        self._record(Kind.SIGNALLED, self._data(signal=signal.value, scope=scope.value, pids=pids))
