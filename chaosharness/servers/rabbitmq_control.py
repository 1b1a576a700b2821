"""What only the node itself can be told, by a remote call of Erlang's: no management API has it.

In: an instance of `servers.rabbitmq`, a module, a function, its arguments as Erlang writes them. Out: what the call
returned, as Erlang writes it. To try it: `suites/conformance/test_brokers_rabbitmq_limits.py`.

`erl` is wherever RabbitMQ is: of a process on this machine, of a container in it. It takes a third of a second.
"""

from __future__ import annotations

import os
import subprocess

from chaosharness.model.errors import HarnessBroke
from chaosharness.ports.launch import Instance

NODE = "rabbit@localhost"
ME = "chaosharness@localhost"
DISTRIBUTION = "distribution"
"""The node (`Instance.nodes`) that a process listens at for Erlang's calls; a container has it inside alone."""
DISTRIBUTION_PORT = 25672
"""In a container."""
ANSWER_WITHIN_S = 15.0
ANSWER = "answer: "


def call(instance: Instance, function: str, *args: str) -> str:
    """`call(node, "application:get_env", "rabbit", "consumer_timeout")`: `{ok,1800000}`. Raises HarnessBroke."""
    module, _, name = function.partition(":")
    asked = f"rpc:call('{NODE}', {module}, {name}, [{', '.join(args)}], {int(ANSWER_WITHIN_S * 500)})"
    code, said = _erl(instance, f'io:format("{ANSWER}~0p~n", [{asked}]), halt(0).')
    answer = said.rpartition(ANSWER)[2].strip()
    if code or ANSWER not in said or answer.startswith("{badrpc"):
        why = said.strip()[-300:] or f"exit code {code}"
        raise HarnessBroke(f"{instance.name}: {function}({', '.join(args)}): {why}")
    return answer


def sync_queues(instance: Instance) -> None:
    """Has the node write down which quorum queues it has; it waits for a pause to do so.

    One that was declared moments before a SIGKILL is otherwise there after it without its log: nobody leads it, who
    publishes to it or reads it waits for ever, and it counts as empty.
    """
    call(instance, "lists:foreach", "fun dets:sync/1", f"rpc:call('{NODE}', dets, all, [])")


def _erl(instance: Instance, program: str) -> tuple[int, str]:
    execute = getattr(instance, "execute", None)  # a container's
    port = DISTRIBUTION_PORT if execute else instance.nodes[DISTRIBUTION].port
    argv = [
        "erl", "-noinput", "-hidden", "-sname", ME, "-start_epmd", "false", "-erl_epmd_port", str(port),
        "-dist_listen", "false", "-eval", program,
    ]  # fmt: skip
    if execute:
        found: tuple[int, str] = execute(argv)
        return found
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(instance.log.parent / "conf"), "LANG": "C.UTF-8"}
    try:
        ended = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=ANSWER_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise HarnessBroke(f"{instance.name}: Erlang's remote call: {failed}") from failed
    return ended.returncode, ended.stdout + ended.stderr
