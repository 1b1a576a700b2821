"""RabbitMQ's own limits, reached on purpose: memory (publishers are blocked) and the consumer time-out (406).

In: a server. Out: evidence, read back from the node, of what its limit is now; as before when left. To try it:
`suites/conformance/test_brokers_rabbitmq_limits.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.errors import HarnessBroke
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Evidence, Instance
from chaosharness.servers.rabbitmq_control import call

ALARM_WITHIN_S = 5.0
WATERMARK = "vm_memory_monitor:get_vm_memory_high_watermark"
SET_WATERMARK = "vm_memory_monitor:set_vm_memory_high_watermark"
CONSUMER_TIMEOUT = ("rabbit", "consumer_timeout")


class RabbitMQLimits:
    """Implements `ports.plugin.AlarmingBroker` and `TimingBroker`."""

    @contextmanager
    def alarm(self, server: Instance) -> Iterator[Evidence]:
        """No memory is little enough: the node's own monitor raises the alarm, and clears it."""
        before = call(server, WATERMARK)
        try:
            call(server, SET_WATERMARK, "0.0")
            yield self._alarm_is(server, True)
        finally:
            call(server, SET_WATERMARK, before)
            self._alarm_is(server, False)

    def alarmed(self, server: Instance) -> bool:
        """Whether an alarm of memory is in effect."""
        return "memory" in call(server, "rabbit_alarm:get_alarms")

    @contextmanager
    def consumer_timeout(self, server: Instance, seconds: float) -> Iterator[Evidence]:
        """Channels ask for it when they are opened, and look at it every second (servers/rabbitmq.py)."""
        before = _milliseconds(server)
        call(server, "application:set_env", *CONSUMER_TIMEOUT, str(int(seconds * 1000)))
        try:
            now = _milliseconds(server)
            what = f"the broker's consumer time-out was lowered by the harness: {before / 1000:g} s to {now / 1000:g} s"
            yield Evidence(now == int(seconds * 1000), what, {"consumer_timeout_s": now / 1000, "was_s": before / 1000})
        finally:
            call(server, "application:set_env", *CONSUMER_TIMEOUT, str(before))

    def _alarm_is(self, server: Instance, wanted: bool) -> Evidence:
        what = f"{server.name}: its memory alarm {'in effect' if wanted else 'cleared'}"
        wait_for(what, ALARM_WITHIN_S, lambda: self.alarmed(server) is wanted, error=HarnessBroke)
        return Evidence(True, f"{what}, by its own word", {"alarmed": wanted})


def _milliseconds(server: Instance) -> int:
    said = call(server, "application:get_env", *CONSUMER_TIMEOUT)
    try:
        return int(said.removeprefix("{ok,").removesuffix("}"))
    except ValueError:
        raise HarnessBroke(f"{server.name}: expected its consumer time-out, found {said}") from None
