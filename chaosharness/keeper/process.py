"""The keeper process: requests in, evidence out, and the end of everything when the harness is gone.

Goes in: JSON lines `{"id", "call", …}` on a socket, with file descriptors as ancillary data. Comes out: JSON lines
`{"id", "result"}` or `{"id", "error"}`. What is said here that is no answer goes to standard error: `keeper.log`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaosharness.keeper import signals, tree
from chaosharness.keeper.bound import PROCESSES, Bound
from chaosharness.keeper.incarnation import Family
from chaosharness.keeper.instance import OwnedInstance
from chaosharness.keeper.loop import Loop, Steps
from chaosharness.model.address import Address
from chaosharness.model.errors import BadInput, ChaosError, HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.ports.launch import Evidence, Scope, Signal

if TYPE_CHECKING:
    from chaosharness.ledger.writer import Ledger

ORIGIN = "keeper"
PATIENCE_S = 3.0
"""Minders end by themselves when their tree is gone, and write the last lines of the log; then they are killed too."""
END_S = 20.0


def _say(text: str) -> None:
    with suppress(OSError):  # a full disk: what the keeper must end it ends all the same
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)


class Keeper:
    """One harness's processes. `call_NAME` methods are the requests."""

    def __init__(self, harness: socket.socket, harness_pid: int) -> None:
        self.loop = Loop(
            signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, on_signal=self._on_signal
        )
        self._family = Family(self.loop)
        self._instances: dict[str, OwnedInstance] = {}
        self._ledger: Ledger | None = None
        self._folders: list[str] = []
        self._last: dict[str, Any] | None = None
        self._ending = False
        self._harness = harness
        self._connected = True
        self._input = b""
        self._fds: list[int] = []
        self._output = b""
        Bound(self.loop, lambda: list(self._instances.values()), self._too_many)
        harness.setblocking(False)
        self.loop.watch(harness, self._read)
        # a forked copy of the harness may hold the socket open: its own end is watched too
        if os.getppid() == harness_pid:
            try:
                self.loop.watch(os.pidfd_open(harness_pid), lambda: self._end("the harness has ended"))
            except OSError:
                pass  # not on this kernel: end of file must do
        else:
            self._end("the harness had ended")
        self._answer({"hello": os.getpid()})

    # the harness's end of the socket

    def _read(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._harness, 65536, 16, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        self._fds += fds
        if not data:
            self._connected = False
            self.loop.forget(self._harness)
            self._end("the harness is gone")
            return
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            self._request(json.loads(line))

    def _request(self, request: dict[str, Any]) -> None:
        number, call = request.pop("id"), request.pop("call")

        def done(result: object) -> None:
            if isinstance(result, Exception):
                if not isinstance(result, ChaosError):
                    _say("".join(traceback.format_exception(result)))
                kind = "input" if isinstance(result, BadInput) else "broke"
                self._answer({"id": number, "error": str(result) or repr(result), "kind": kind})
            else:
                self._answer({"id": number, "result": _plain(result)})

        try:
            result = getattr(self, f"call_{call}")(**request)
        except Exception as error:
            done(error)
            return
        if isinstance(result, Generator):
            self.loop.start(result, done)
        else:
            done(result)

    def _answer(self, message: Mapping[str, Any]) -> None:
        if self._connected:
            self._output += json.dumps(message).encode() + b"\n"
            self._write()

    def _write(self) -> None:
        """What the socket takes now; the rest when it can be written. A harness that is stopped blocks nobody."""
        try:
            self._output = self._output[self._harness.send(self._output) :]
        except BlockingIOError:
            pass
        except OSError:
            self._output = b""  # gone: end of file says so, too
        self.loop.watch(self._harness, self._on_harness, write=bool(self._output))

    def _on_harness(self) -> None:
        if self._output:
            self._write()
        self._read()

    # requests

    def _instance(self, name: str) -> OwnedInstance:
        if name not in self._instances:
            raise HarnessBroke(f"the keeper knows no instance {name!r}; it has {sorted(self._instances) or 'none'}")
        return self._instances[name]

    def call_launch(self, name: str, recipe: dict[str, Any], fds: int) -> Steps[Evidence]:
        stdio = (self._fds.pop(0), self._fds.pop(0)) if fds else None
        instance = OwnedInstance(self._family, self._record, name, recipe, stdio)
        before = self._instances.get(name)
        if self._ending or (before and before.busy):
            instance.close()
            raise HarnessBroke(f"{name}: {'the keeper is ending' if self._ending else 'launched already, not stopped'}")
        if before:
            before.take_down()
            before.close()
        self._instances[name] = instance
        started = False
        try:
            evidence = yield from instance.start()
            started = evidence.ok
        finally:
            if not started:
                instance.take_down()
                instance.close()
                del self._instances[name]
        return evidence

    def call_restart(self, name: str) -> Steps[Evidence]:
        if self._ending:
            raise HarnessBroke(f"{name}: the keeper is ending")
        return self._instance(name).start()

    def call_signal(self, name: str, signal: str, scope: str) -> Steps[Evidence]:
        return signals.send(self._instance(name), Signal(signal), Scope(scope))

    def call_kill_owner(self, name: str, local: str) -> Steps[Evidence]:
        return signals.kill_owner(self._instance(name), Address.parse(local))

    def call_stop(self, name: str, grace_s: float) -> Steps[Evidence]:
        return signals.stop(self._instance(name), grace_s)

    def call_alive(self, name: str) -> bool:
        return self._instance(name).alive

    def call_exits(self, name: str) -> list[int]:
        return self._instance(name).exits

    def call_pids(self, name: str) -> list[int]:
        return sorted(process.pid for process in self._instance(name).processes(tree.scan()))

    def call_descendants(self, name: str) -> list[int]:
        instance = self._instance(name)
        return sorted(p.pid for p in instance.processes(tree.scan()) if p.pid not in instance.mains)

    def call_status(self) -> list[dict[str, Any]]:
        table = tree.scan()
        return [
            {
                "name": name,
                "incarnation": instance.number,
                "pids": sorted(process.pid for process in instance.processes(table)),
            }
            for name, instance in self._instances.items()
            if instance.alive
        ]

    def call_record_to(self, folder: str | None) -> None:
        before, self._ledger = self._ledger, None
        if before:
            before.end()
        if folder is not None:
            from chaosharness.ledger.writer import Ledger  # here: it takes 20 ms to load, and start-up is waited for

            self._ledger = Ledger(Path(folder), ORIGIN)

    def call_remove_on_end(self, folder: str) -> None:
        self._folders.append(folder)

    def call_run_on_end(self, command: dict[str, Any] | None) -> None:
        self._last = command

    def call_close(self) -> Steps[None]:
        return self._end_all("closed by the harness")

    def _record(self, kind: Kind, data: Mapping[str, Any]) -> None:
        if self._ledger:
            try:
                self._ledger.append(kind, data=data)
            except HarnessBroke as refused:
                # processes must be ended all the same; without its last line the file is seen to have a hole
                _say(str(refused))
                self._ledger.abandon()
                self._ledger = None

    def _too_many(self, instance: OwnedInstance, count: int) -> None:
        why = f"it had {count} processes, more than the {PROCESSES} that one service may have"
        self._record(Kind.BOUNDED, {"instance": instance.name, "why": why})
        instance.note(f"all of {instance.name} is ended: {why}")

    # the end

    def _on_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGCHLD:
            self._family.reap()
        elif number in (signal.SIGTERM, signal.SIGHUP):
            self._end(number.name)

    def _end(self, why: str) -> None:
        def done(result: object) -> None:
            if isinstance(result, Exception):  # the minders then see end of file, and end their trees
                _say("".join(traceback.format_exception(result)))
            self.loop.stop()

        if not self._ending:
            self.loop.start(self._end_all(why), done)

    def _end_all(self, why: str) -> Steps[None]:
        """Every process below the keeper, then the folders."""
        self._ending = True
        _say(f"ending: {why}")
        began = time.monotonic()
        for instance in self._instances.values():
            instance.take_down()
        while processes := tree.below(tree.scan(), os.getpid()):
            waited = time.monotonic() - began
            for process in processes:
                if process.pid not in self._family.minders or waited > PATIENCE_S:
                    tree.send(process, signal.SIGKILL)
            if waited > END_S:
                _say(f"after {END_S:g} s still there: {processes}")
                break
            yield 0.002
        try:
            self.call_record_to(None)
        except HarnessBroke as refused:
            _say(str(refused))
        for instance in self._instances.values():
            instance.close()
        if self._folders:
            import shutil

            for folder in self._folders:
                shutil.rmtree(folder, onerror=lambda _, path, error: _say(f"cannot remove {path}: {error[1]}"))
        if self._last:
            _run(**self._last)
        self.loop.later(0.0, self.loop.stop)


def _run(argv: list[str], env: dict[str, str], within_s: float) -> None:
    """One last command; what it says goes to this process's log."""
    import subprocess

    try:
        code = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, timeout=within_s).returncode
    except subprocess.TimeoutExpired:
        _say(f"{argv}: killed, as it did not end within {within_s:g} s")
    except OSError as failed:
        _say(f"{argv}: {failed}")
    else:
        if code:
            _say(f"{argv}: exit code {code}")


def _plain(result: object) -> object:
    """Evidence as plain JSON types."""
    if isinstance(result, Evidence):
        return {"ok": result.ok, "what": result.what, "facts": dict(result.facts)}
    return result


def main(argv: list[str]) -> int:
    """`argv`: the socket's file descriptor, the harness's process id."""
    fd, harness_pid = map(int, argv)
    os.set_inheritable(fd, False)
    tree.become_subreaper()
    with socket.socket(fileno=fd) as harness:
        Keeper(harness, harness_pid).loop.run()
    return 0
