"""The HTTP sink: a stub of the API that a system under test calls (a payment API, a carrier)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from chaosharness.model.address import EFFECT, Address
from chaosharness.model.aim import HARNESS_CONSUMES, Aim, why_no_poison
from chaosharness.model.flow import Effect, Flow
from chaosharness.model.gate import Point
from chaosharness.model.key import Place
from chaosharness.model.window import Actor

REPLICA = ("crash", "crash-child", "crash-parent", "term", "freeze")
"""Faults of the replica that has the request under way."""
MEMBERS = ("join", "leave", "freeze")
"""Faults of who is there to take messages."""
ALONE = "the service has one replica: nobody else could take the message"
TO_BROKER = ("partition", "broker-kill", "broker-restart")
"""Faults between that replica and the broker."""
METHODS = ("POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS")
TARGET = re.compile(r"([A-Z]+) (/\S*)")


class HttpSink:
    """`http = "POST /v1/charges"`: requests that match are effects; without a target any but GET, HEAD, OPTIONS."""

    name = "http"
    stub = "http"

    def problems(self, effect: Effect) -> Sequence[str]:
        """Everything wrong with the declared effect, each naming its key."""
        found = []
        if effect.target:
            match = TARGET.fullmatch(effect.target)
            if not match or match.group(1) not in METHODS:
                found.append(f'http: expected "METHOD /path" ({", ".join(METHODS)}), found {effect.target!r}')
            elif "?" in match.group(2):
                found.append(f"http: the path is matched without a query, found {effect.target!r}")
        for field, text in (("key", effect.key), ("idempotent_by", effect.idempotent_by)):
            problem = Place(text).problem() if text else None
            if problem:
                found.append(f"{field}: {problem}, found {text!r}")
            elif text and text.startswith("property:"):
                found.append(f"{field}: an HTTP request has no properties, found {text!r}")
        if not 200 <= effect.answer_status <= 599:
            found.append(f"answer.status: expected 200 to 599, found {effect.answer_status}")
        return found

    def stub_options(self, effect: Effect) -> Mapping[str, Any]:
        """What `HttpStub` takes."""
        match = TARGET.fullmatch(effect.target)
        return {
            "sink": effect.name,
            "method": match.group(1) if match else None,
            "path": match.group(2) if match else None,
            "key": effect.key,
            "idempotent_by": effect.idempotent_by,
            "status": effect.answer_status,
            "body": effect.answer_body,
        }

    def connection_string(self, address: Address) -> str:
        return f"http://{address}"

    def aims(self, flow: Flow, effect: Effect) -> Sequence[Aim]:
        """A request held before it is applied, and its answer held after.

        What a fault of the broker or of the link to it leaves to be handed over again is the broker's to promise.
        """
        at_request = (*REPLICA, *TO_BROKER, "outage")
        at_response = (*REPLICA, *TO_BROKER)
        return (
            _aim(flow, effect, "deliver-effect", Point.REQUEST, *at_request),
            _aim(flow, effect, "effect-response", Point.RESPONSE, "response-lost", "reset"),
            _aim(flow, effect, "effect-response", Point.RESPONSE, *at_response, again=True),
            _aim(flow, effect, "effect-response", Point.REQUEST, "apply-late"),
            _aim(flow, effect, "poison", Point.REQUEST, "reject", "killer", declined=_poison(flow)),
            _aim(flow, effect, "rebalance", Point.REQUEST, *MEMBERS, declined=_alone(flow)),
        )


def _alone(flow: Flow) -> Mapping[str, str]:
    """A member that leaves, or stands still, must leave another."""
    alone = flow.consumer is None or flow.consumer.replicas < 2
    return {"leave": ALONE, "freeze": ALONE} if alone else {}


def _poison(flow: Flow) -> Mapping[str, str]:
    why = why_no_poison(flow)
    return {"*": why} if why else {}


def _aim(
    flow: Flow,
    effect: Effect,
    window: str,
    point: Point,
    *offers: str,
    again: bool = False,
    declined: Mapping[str, str] | None = None,
) -> Aim:
    """`again`: an effect was applied, and its delivery, unsettled, is handed over again."""
    declined = (declined or {}) if flow.consumer else {"*": HARNESS_CONSUMES}
    promised = frozenset(offers if again else ())
    return Aim(window, point, Actor.CONSUMER, f"{EFFECT}{effect.name}", offers, promised, declined=declined)
