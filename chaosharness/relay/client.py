"""The harness's side of the relay's control channel."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.gate import Gate
from chaosharness.ports.launch import Instance, Launcher, Recipe
from chaosharness.ports.wire import CodecOptions

ANSWER_WITHIN_S = 10.0
LOOK_EVERY_S = 0.2
"""How often a relay that has not answered is looked at: the keeper holds its end of the channel open when it dies."""


class RelayClient:
    """Commands to one relay; thread-safe. Every call raises HarnessBroke if the relay refuses or does not answer."""

    def __init__(self, instance: Instance, control: socket.socket) -> None:
        self.instance = instance
        self.failures: list[str] = []
        """What broke inside the relay without a command being at fault: nothing of its scenario is proven."""
        self._control = control
        self._control.settimeout(LOOK_EVERY_S)
        self._buffer = b""
        self._broken: HarnessBroke | None = None
        self._lock = threading.Lock()
        self.bind = "127.0.0.1"
        """Where taps and sinks listen."""

    @classmethod
    def start(cls, launcher: Launcher, folder: Path) -> RelayClient:
        """Launches a relay process and waits for its first answer."""
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as if_it_fails:
            if_it_fails.callback(ours.close)
            recipe = Recipe(
                name="relay",
                argv=(sys.executable, "-m", "chaosharness.relay"),
                env={name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ},
                folder=folder,
                log=folder / "relay.log",
                stdio=(theirs.fileno(), theirs.fileno()),
            )
            client = cls(launcher.launch(recipe), ours)
            theirs.close()
            client._ask("ping")
            if_it_fails.pop_all()
        return client

    def close(self) -> None:
        """End of file tells the relay to end."""
        self._control.close()

    def begin(self, folder: Path, nonce: str, others: Sequence[str]) -> None:
        """A new scenario, its ledger in `folder`; `others`: nonces of the run's earlier scenarios."""
        self._ask("begin", folder=str(folder), nonce=nonce, others=list(others))

    def tap(self, link: LinkId, upstream: Address, codec: str, options: CodecOptions) -> Address:
        """Opens a tap for `link`; returns where it listens."""
        fields = {**asdict(options), "facts": dict(options.facts)}
        answer = self._ask("tap", link=str(link), upstream=str(upstream), codec=codec, options=fields, host=self.bind)
        return Address.parse(answer["address"])

    def add_sink(self, name: str, stub: str, options: Mapping[str, Any]) -> None:
        self._ask("add_sink", name=name, stub=stub, options=dict(options))

    def sink(self, name: str, link: LinkId) -> Address:
        """Opens the sink for `link`; returns where it listens."""
        return Address.parse(self._ask("sink", name=name, link=str(link), host=self.bind)["address"])

    def arm(self, gate: Gate) -> None:
        self._ask("arm", gate=asdict(gate))

    def disarm(self, gate: str) -> None:
        self._ask("disarm", gate=gate)

    def release(self, gate: str, forward: bool) -> bool:
        """False if the gate held nothing (any more)."""
        return bool(self._ask("release", gate=gate, forward=forward)["held"])

    def sever(self, link: LinkId) -> int:
        """Closes every connection of the link at its tap or sink; returns how many there were."""
        return int(self._ask("sever", link=str(link))["severed"])

    def control_sink(self, name: str, control: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tells the stub of the sink `name` how to behave from now on; returns what it says."""
        said: Mapping[str, Any] = self._ask("control_sink", name=name, control=dict(control))["said"]
        return said

    def close_sinks(self) -> None:
        self._ask("close_sinks")

    def end(self) -> None:
        """The scenario is over: its ledger is complete."""
        self._ask("end")

    def _ask(self, command: str, **args: Any) -> dict[str, Any]:
        with self._lock:
            if self._broken:  # a late answer would be taken for this command's
                raise self._broken
            try:
                line = self._exchange(command, json.dumps({"do": command, **args}).encode() + b"\n")
            except HarnessBroke as broken:
                self._broken = broken
                raise
        answer: dict[str, Any] = json.loads(line)
        self.failures += [said for said in dict.fromkeys(answer.get("failures", [])) if said not in self.failures]
        if "error" in answer:
            raise HarnessBroke(answer["error"])
        return answer

    def _exchange(self, command: str, request: bytes) -> bytes:
        deadline = time.monotonic() + ANSWER_WITHIN_S
        try:
            self._control.sendall(request)
            while b"\n" not in self._buffer:
                self._receive(command, deadline)
        except OSError as lost:
            raise HarnessBroke(f"relay: lost while asked to {command} ({lost}); its log: {self.instance.log}") from lost
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _receive(self, command: str, deadline: float) -> None:
        try:
            data = self._control.recv(65536)
        except TimeoutError:
            alive = self.instance.alive()
            if alive and time.monotonic() < deadline:
                return
            why = f"no answer to {command} within {ANSWER_WITHIN_S:g} s" if alive else f"gone while asked to {command}"
            raise HarnessBroke(f"relay: {why}; its log: {self.instance.log}") from None
        if not data:
            raise HarnessBroke(f"relay: gone while asked to {command}; its log: {self.instance.log}")
        self._buffer += data
