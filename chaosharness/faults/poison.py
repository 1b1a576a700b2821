"""Messages that can never succeed: one that nobody can read, one that the sink refuses, one that kills its consumer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence, Instance, Scope, Signal
from chaosharness.ports.plugin import Injection, Message, Release, Target, Ticket

GARBAGE = b"\xff}{"
"""No UTF-8, no JSON; the key behind it can still be found by its shape."""
FOR_GOOD = 422
KILLS_AT_MOST = 6
GONE_WITHIN_S = 5.0
REFUSED_WITHIN_S = 5.0
AGAIN_WITHIN_S = 10.0
"""A service may take some seconds to start; where the broker holds nothing any more nobody waits."""


class Malformed:
    """`malformed`: the aimed message's body cannot be read. It is held once, as proof that it is delivered so."""

    id = "malformed"
    action = Action.HOLD
    release = Release.FORWARD
    until = "at_once"
    leaves_survivors = True

    def spoil(self, message: Message) -> Message:
        """Its key, ordering and headers stay as they are."""
        return replace(message, body=GARBAGE + message.body, says={**message.says, "spoiled": True})

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the held delivery, and the invocation that says that its body was spoiled."""
        hold = target.ticket.hold
        spoiled = any(
            event.data.get("spoiled") is True and _is(Kind.INVOKE, hold.key, event) for event in target.witness.so_far()
        )
        what = f"{hold.key}, whose body was spoiled before it was published, is delivered on {hold.link}"
        injection = Injection(Evidence(spoiled, what if spoiled else f"the body of {hold.key} was not spoiled"))
        yield injection
        injection.healed = Evidence(True, "nothing to heal: a message that cannot be read stays what it is")


class Reject:
    """`reject`: the sink refuses the aimed message for good, and takes all others."""

    id = "reject"
    action = Action.HOLD
    release = Release.FORWARD
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the sink's record that it refused the aimed key."""
        after = len(target.witness.so_far())
        target.control_sink({"refuse": {target.key: FOR_GOOD}})
        target.ticket.forward()
        refused = target.witness.wait(
            f"the sink to refuse {target.key}",
            REFUSED_WITHIN_S,
            lambda event: _is(Kind.REFUSED, target.key, event),
            after,
        )
        what = f"the sink {'refused' if refused else 'did not refuse'} {target.key} with status {FOR_GOOD}"
        injection = Injection(Evidence(refused is not None, what))
        yield injection
        injection.healed = Evidence(True, f"nothing to heal: {target.key} is refused for good")


class Killer:
    """`killer`: whoever has the message in hand dies of it, again and again; it is never applied.

    After `KILLS_AT_MOST` it kills nobody any more: each request of it then ends with its connection.
    """

    id = "killer"
    action = Action.HOLD
    release = Release.DISCARD
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is every kill's: no process is left, and the held connection reached its end of file."""
        target.control_sink({"refuse": {target.key: 0}})
        kills: list[Evidence] = []
        restarted = Evidence(True, "not restarted: the service declares restart = never")
        ticket: Ticket | None = target.ticket
        while ticket:
            victim = _holder(target, ticket)
            if victim is None:
                kills.append(Evidence(False, f"nothing to kill: {target.key} is held on {ticket.hold.link}"))
                break
            kills.append(_kill(victim, ticket))
            if not target.restarts:
                break
            restarted = victim.restart()
            if len(kills) == KILLS_AT_MOST or not (kills[-1].ok and restarted.ok):
                break
            ticket = target.again(AGAIN_WITHIN_S)
        injection = Injection(_all_of(kills))
        yield injection
        injection.healed = Evidence(restarted.ok, restarted.what, restarted.facts)


def _kill(victim: Instance, ticket: Ticket) -> Evidence:
    killed = victim.signal(Signal.KILL, Scope.TREE)
    gone = ticket.await_gone(GONE_WITHIN_S)
    return Evidence(killed.ok and gone.ok, f"{killed.what}; {gone.what}", {**killed.facts, **gone.facts})


def _all_of(kills: Sequence[Evidence]) -> Evidence:
    facts = {"kills": len(kills), "each": [kill.what for kill in kills]}
    return Evidence(all(kill.ok for kill in kills), f"killed {len(kills)} times: {kills[-1].what}", facts)


def _holder(target: Target, ticket: Ticket) -> Instance | None:
    """The replica on whose link the message is held: each time it may be another one."""
    replicas = [target.instance, *target.others] if target.instance else []
    name = ticket.hold.link.partition(">")[0]
    return next((replica for replica in replicas if replica.name == name), None)


def _is(kind: Kind, key: str, event: Event) -> bool:
    return event.kind is kind and key in event.keys
