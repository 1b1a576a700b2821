"""`python -m chaosharness.relay`: commands as JSON lines on standard input (a socket), answers on the same socket.

End of file there means that the harness is gone: the relay closes what it holds and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import ChaosError, HarnessBroke
from chaosharness.model.gate import Action, Gate, Point
from chaosharness.ports.wire import CodecOptions
from chaosharness.relay.scene import Scene

MAX_COMMAND = 1 << 20


class Relay:
    """Carries out the harness's commands, one at a time, in order."""

    def __init__(self) -> None:
        self._scene: Scene | None = None

    @property
    def scene(self) -> Scene:
        if self._scene is None:
            raise HarnessBroke("relay: no scenario was begun")
        return self._scene

    async def do(self, command: str, args: dict[str, Any]) -> dict[str, Any]:
        """Runs one command. Raises on anything wrong: the answer then says so."""
        match command:
            case "ping":
                return {"pid": os.getpid()}
            case "begin":
                self.end()
                self._scene = Scene(Path(args["folder"]), args["nonce"], args["others"])
            case "tap":
                address = await self.scene.open_tap(
                    LinkId.parse(args["link"]),
                    Address.parse(args["upstream"]),
                    args["codec"],
                    CodecOptions(**args["options"]),
                    args["host"],
                )
                return {"address": str(address)}
            case "add_sink":
                self.scene.add_sink(args["name"], args["stub"], args["options"])
            case "sink":
                address = await self.scene.open_sink(args["name"], LinkId.parse(args["link"]), args["host"])
                return {"address": str(address)}
            case "arm":
                gate = args["gate"]
                instead = Point(gate["once_applied"]) if gate["once_applied"] else None
                typed = {"point": Point(gate["point"]), "action": Action(gate["action"]), "once_applied": instead}
                self.scene.arm(Gate(**{**gate, **typed}))
            case "disarm":
                self.scene.gates.disarm(args["gate"])
            case "release":
                return {"held": self.scene.gates.let_go(args["gate"], args["forward"], "told")}
            case "sever":
                return {"severed": self.scene.sever(LinkId.parse(args["link"]))}
            case "control_sink":
                return {"said": dict(self.scene.control_sink(args["name"], args["control"]))}
            case "close_sinks":
                self.scene.close_sinks()
            case "end":
                self.end()
            case _:
                raise HarnessBroke(f"relay: unknown command {command!r}")
        return {}

    def end(self) -> None:
        """The scenario, if one was begun, is over."""
        if self._scene:
            self._scene.end()
            self._scene = None


async def serve(control: socket.socket) -> None:
    """Answers commands until end of file."""
    loop = asyncio.get_running_loop()
    failures: list[str] = []
    loop.set_exception_handler(lambda _, context: failures.append(_describe(context)))
    reader, writer = await asyncio.open_connection(sock=control, limit=MAX_COMMAND)
    relay = Relay()
    try:
        while line := await reader.readline():
            request = json.loads(line)
            try:
                answer = await relay.do(request.pop("do"), request)
            except ChaosError as refused:
                answer = {"error": str(refused)}
            except Exception:
                answer = {"error": f"relay: {traceback.format_exc()}"}
            if failures:
                answer.setdefault("failures", []).extend(failures)
                failures.clear()
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
    except ConnectionError:
        pass  # the harness is gone
    finally:
        relay.end()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _describe(context: dict[str, Any]) -> str:
    error = context.get("exception")
    if isinstance(error, ChaosError):  # raised on purpose: its message says it all
        described = f"relay: {error}"
    else:
        text = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
        described = f"relay: {context.get('message')}\n{text}"
    print(described, file=sys.stderr, flush=True)
    return described


def main() -> None:
    """Entry point of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the harness's to handle
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a tapped connection takes two, and a storm has many
    control = socket.socket(fileno=os.dup(0))
    control.setblocking(False)
    asyncio.run(serve(control))


if __name__ == "__main__":
    main()
