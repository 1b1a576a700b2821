"""The harness's side of the keeper.

Goes in: recipes, signals. Comes out: evidence. To try it:

    with KeeperClient.start(folder) as keeper:
        keeper.launch(recipe)
        keeper.signal("redis.0", Signal.KILL, Scope.TREE)
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from chaosharness.keeper import sockets
from chaosharness.model.address import Address
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.ports.launch import Evidence, Recipe, Scope, Signal

CALL_S = 15.0
CLOSE_S = 25.0
LOG = "keeper.log"


@dataclass(frozen=True, slots=True)
class Status:
    """One instance of which a process lives."""

    name: str
    incarnation: int
    pids: tuple[int, ...]


class KeeperClient:
    """A running keeper. Thread-safe; a call that the keeper does not answer in time raises HarnessBroke naming it."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], ours: socket.socket) -> None:
        """Use `start`."""
        self.folder = folder
        self._process = process
        self._socket = ours
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._hello: Future[int] = Future()
        self._gone = False
        self._closed = False
        self._folders: list[Path] = []
        self._last_within_s = 0.0
        self._reader = threading.Thread(target=self._read, name="keeper-client", daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, folder: Path) -> KeeperClient:
        """Starts a keeper that says what it must in `folder`/keeper.log. Raises HarnessBroke.

        It lives in a session of its own: an interrupt typed at the terminal reaches the harness alone.
        """
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        with theirs, open(folder / LOG, "ab") as log:
            process = subprocess.Popen(
                # -P: a `socket.py` in the present folder must not become the keeper's
                [sys.executable, "-P", "-m", "chaosharness.keeper", str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        client = cls(folder, process, ours)
        try:
            client._hello.result(CALL_S)
        except BaseException as error:
            with suppress(HarnessBroke):  # the first error says more
                client.close()
            if isinstance(error, FutureTimeout):
                raise HarnessBroke(f"waited {CALL_S:g} s for the keeper to start{client._log_tail()}") from None
            raise
        return client

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    # instances

    def launch(self, recipe: Recipe) -> Evidence:
        """Starts it; facts: pids, incarnation, took_ms. Raises BadInput if the command or the folder cannot be used.

        A name can be launched again once it is stopped. `recipe.stdio` is duplicated: close your own ends. The keeper
        holds the duplicates for the next incarnation, so that end of file comes with `stop`, not with a crash.
        """
        if not recipe.folder.is_dir():
            raise BadInput(f"{recipe.name}: its working folder is not there: {recipe.folder}")
        recipe.log.parent.mkdir(parents=True, exist_ok=True)
        plain = {
            "argv": list(recipe.argv),
            "env": dict(recipe.env),
            "folder": str(recipe.folder.resolve()),
            "log": str(recipe.log.resolve()),
            "restart": recipe.restart,
        }
        fds = list(recipe.stdio or ())
        evidence = self._evidence("launch", fds=fds, name=recipe.name, recipe=plain)
        if not evidence.ok:
            raise BadInput(
                f"{recipe.name}: cannot run {recipe.argv[0]!r}: {evidence.facts.get('error', evidence.what)}"
                f" (working folder {recipe.folder}, PATH {recipe.env.get('PATH', 'not set')})"
            )
        return evidence

    def restart(self, name: str) -> Evidence:
        """The next incarnation of one that is down."""
        return self._evidence("restart", name=name)

    def signal(self, name: str, signal: Signal, scope: Scope = Scope.TREE) -> Evidence:
        """Sends it and looks (`Instance.signal`)."""
        return self._evidence("signal", name=name, signal=signal.value, scope=scope.value)

    def kill_owner(self, name: str, local: Address) -> Evidence:
        """SIGKILL of the child that has the connection from `local` open (`Instance.kill_owner`)."""
        return self._evidence("kill_owner", name=name, local=str(local))

    def stop(self, name: str, grace_s: float) -> Evidence:
        """SIGTERM, `grace_s` seconds, SIGKILL to the tree; facts: pids, codes, forced, took_ms."""
        return self._evidence("stop", CALL_S + grace_s, name=name, grace_s=grace_s)

    def alive(self, name: str) -> bool:
        """Whether any process of it lives."""
        return bool(self._call("alive", name=name))

    def exits(self, name: str) -> tuple[int, ...]:
        """Exit codes of the incarnations that ended unasked (negative: a signal)."""
        return tuple(self._call("exits", name=name))

    def pids(self, name: str) -> tuple[int, ...]:
        """Its living processes."""
        return tuple(self._call("pids", name=name))

    def descendants(self, name: str) -> tuple[int, ...]:
        """Its living processes but the commands themselves."""
        return tuple(self._call("descendants", name=name))

    def remotes(self, name: str) -> tuple[Address, ...]:
        """Where the TCP connections that its processes opened lead now. Raises HarnessBroke if that cannot be seen."""
        try:
            return sockets.remotes(self.pids(name))
        except PermissionError as refused:
            raise HarnessBroke(f"{name}: cannot see its sockets ({refused}); run as the same user") from refused

    def status(self) -> tuple[Status, ...]:
        """Every instance of which a process lives."""
        return tuple(Status(row["name"], row["incarnation"], tuple(row["pids"])) for row in self._call("status"))

    # the record, and the end

    def record_to(self, folder: Path | None) -> None:
        """From now on process events go to `folder`/keeper.ledger.jsonl; the file before it is ended. None: nowhere."""
        self._call("record_to", folder=None if folder is None else str(folder.resolve()))

    def remove_on_end(self, folder: Path) -> None:
        """The keeper removes it at its end, when no process is left that could write to it."""
        folder = folder.resolve()
        self._call("remove_on_end", folder=str(folder))
        self._folders.append(folder)

    def run_on_end(self, argv: Sequence[str], env: Mapping[str, str], within_s: float) -> None:
        """The keeper runs it at its end, whatever that came from, when no process is left; `forget_on_end` undoes it.

        For what is not a process below the keeper, e.g. containers. A command before it is forgotten; after `within_s`
        seconds it is killed. What it says is in the keeper's log.
        """
        self._call("run_on_end", command={"argv": list(argv), "env": dict(env), "within_s": within_s})
        self._last_within_s = within_s

    def forget_on_end(self) -> None:
        """There is nothing left to run a command for."""
        self._call("run_on_end", command=None)
        self._last_within_s = 0.0

    def owns(self, folder: Path) -> bool:
        """Whether a folder is the harness's own (the keeper's or one to be removed): may be emptied."""
        return any(folder.resolve().is_relative_to(own) for own in (self.folder, *self._folders))

    def close(self) -> None:
        """Ends every process and the keeper, and returns when they are gone. Idempotent.

        Raises HarnessBroke if that does not happen in time, or if the keeper had died.
        """
        if self._closed or os.getpid() != self._owner:  # a forked copy of the harness owns nothing
            return
        self._closed = True
        failure: HarnessBroke | None = None
        within_s = CLOSE_S + self._last_within_s
        try:
            self._call("close", within_s)
        except HarnessBroke as broke:
            failure = broke
        # end of file: whatever the keeper was doing, it ends
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its minders then end their trees themselves
            self._process.wait()
        self._reader.join()
        self._socket.close()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)  # only where the keeper could not
        if failure:
            raise failure

    def __enter__(self) -> KeeperClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except HarnessBroke:
            if error is None:  # else the first error says more
                raise

    # the wire

    def _evidence(self, call: str, timeout_s: float = CALL_S, fds: list[int] | None = None, **data: Any) -> Evidence:
        result = self._call(call, timeout_s, fds, **data)
        return Evidence(result["ok"], result["what"], result["facts"])

    def _call(self, call: str, timeout_s: float = CALL_S, fds: list[int] | None = None, **data: Any) -> Any:
        future: Future[Any] = Future()
        if fds is not None:
            data["fds"] = len(fds)
        with self._lock:
            if self._gone:
                raise self._broken(call)
            number = next(self._ids)
            self._waiting[number] = future
            line = json.dumps({"id": number, "call": call, **data}).encode() + b"\n"
            try:
                sent = socket.send_fds(self._socket, [line], fds) if fds else 0
                self._socket.sendall(line[sent:])
            except OSError:
                self._waiting.pop(number, None)
                raise self._broken(call) from None
        try:
            message = future.result(timeout_s)
        except FutureTimeout:
            raise HarnessBroke(f"waited {timeout_s:g} s for the keeper to answer {_words(call, data)}") from None
        finally:
            self._waiting.pop(number, None)
        if message is None:
            raise self._broken(call)
        if "error" in message:
            error = BadInput if message["kind"] == "input" else HarnessBroke
            raise error(f"keeper, {_words(call, data)}: {message['error']}")
        return message["result"]

    def _broken(self, call: str) -> HarnessBroke:
        return HarnessBroke(f"the keeper is gone (asked to {call}); its processes end with it{self._log_tail()}")

    def _log_tail(self) -> str:
        text = (self.folder / LOG).read_text(errors="replace")[-2000:]
        return f"; {self.folder / LOG} ends with:\n{text}" if text else ""

    def _read(self) -> None:
        """The reader thread: answers to whoever waits for them; None when the keeper is gone."""
        rest = b""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "hello" in message:
                    self._hello.set_result(message["hello"])
                elif future := self._waiting.pop(message["id"], None):
                    future.set_result(message)
        with self._lock:
            self._gone = True
            waiting = list(self._waiting.values())
        try:
            self._hello.set_exception(self._broken("start"))
        except InvalidStateError:
            pass
        for future in waiting:
            future.set_result(None)


def _words(call: str, data: dict[str, Any]) -> str:
    """`signal payment.0 kill tree`."""
    return " ".join([call, *(str(value) for value in data.values() if isinstance(value, str))])
