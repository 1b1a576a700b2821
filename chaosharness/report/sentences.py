"""A ledger's events in words: one sentence for every kind.

Goes in: an `Event`, as model/event.py gives its data; what is missing there is left out or shown as `?`, never guessed.
Comes out: `describe`'s sentence. To try it: `suites/unit/test_report_sentences.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chaosharness.model.address import HARNESS, LinkId
from chaosharness.model.event import Event, Kind
from chaosharness.report.words import clean, counted, listed, pairs

_POINTS = {
    "publish": "the publish of",
    "confirm": "the publisher confirm of",
    "deliver": "the delivery of",
    "settle": "the consumer ack of",
    "request": "the effect request of",
    "response": "the effect response of",
    "record": "the record in the store of",
    "recorded": "the store's answer to the record of",
}
_RELEASED = {
    "told": "the harness said so",
    "connection gone": "an end of its connection is gone",
    "deadline": "its deadline has passed",
    "disarmed": "the gate was disarmed",
}
_SKIPPED = {
    "settled_on_delivery": "the broker settles on delivery",
    "settled_before_effect": "it was settled before its effect",
    "no_confirms": "the producer asks for no confirms",
}
_YES = {"True": "recorded", "False": "refused: it is there already, or cannot be"}
_THERE = {"True": "is there", "False": "is not there"}
_SIGNALS = {"term": "SIGTERM", "kill": "SIGKILL", "freeze": "SIGSTOP", "thaw": "SIGCONT"}
_SCOPES = {"tree": "the whole tree", "parent": "the parent alone", "child": "a child alone"}
_SETTLES = {
    "ack": "acknowledges {} (consumer ack)",
    "nack": "refuses {} (consumer nack)",
    "reject": "rejects {}",
    "remove": "removes {} from the source",
}


def link_ends(link: str | None) -> tuple[str, str]:
    """The client and the server of a link, in words: `payment.0`, `the broker`."""
    try:
        parsed = LinkId.parse(link or "")
    except ValueError:
        return (clean(link), "the server") if link else ("a client", "the server")
    client = "the harness" if parsed.service == HARNESS else f"{parsed.service}.{parsed.replica}"
    kind, _, name = parsed.server.partition(".")
    if kind == "effect":
        return client, "the sink" if name in ("", "effect") else f"the sink {name}"
    if kind == "store":
        return client, f"the store {name}"
    return client, "the broker" if parsed.node == 0 else f"the broker's node {parsed.node}"


@dataclass(frozen=True, slots=True)
class _Seen:
    """An event with its words at hand."""

    event: Event
    about: str | None = None

    @property
    def key(self) -> str:
        keys = self.event.keys
        if self.about in keys and len(keys) > 1:
            return f"{self.about} and {counted(len(keys) - 1, 'other')}"
        return listed(keys, 3) if keys else "a message"

    @property
    def client(self) -> str:
        return link_ends(self.event.link)[0]

    @property
    def server(self) -> str:
        return link_ends(self.event.link)[1]

    def word(self, name: str, otherwise: str = "?") -> str:
        value = self.event.data.get(name)
        return otherwise if value is None or value == "" else clean(value, 120)

    def tail(self, name: str, before: str = ": ") -> str:
        """`before` and the value, or nothing."""
        value = self.event.data.get(name)
        return "" if value is None or value == "" else before + clean(value, 120)

    def __getitem__(self, name: str) -> object:
        return self.event.data.get(name)

    @property
    def point(self) -> str:
        return f"{_POINTS.get(str(self['point']), 'the ' + self.word('point') + ' of')} {self.key}"

    @property
    def bytes(self) -> str:
        return self.tail("bytes", " (") + (" bytes)" if self["bytes"] is not None else "")

    @property
    def sink(self) -> str:
        return f"sink {self.word('sink', '')}".rstrip()

    @property
    def evidence(self) -> str:
        """`Evidence.what`, or its facts, of a fault's event."""
        evidence = self["evidence"]
        if isinstance(evidence, Mapping):
            what = evidence.get("what") or pairs({k: v for k, v in evidence.items() if k != "ok"}, 160)
            return f": {clean(what, 160)}" if what else ""
        return self.tail("evidence")


def _in_brackets(*notes: str) -> str:
    kept = [note for note in notes if note]
    return f" ({', '.join(kept)})" if kept else ""


def _invoke(s: _Seen) -> str:
    if s["by"] == "republish":
        return f"the harness publishes {s.key} once more, as a retrying upstream would"
    producer = s.word("producer", HARNESS)
    if producer == HARNESS:
        return f"the harness begins to publish {s.key}"
    return f"{producer} is asked to publish {s.key}"


def _complete(s: _Seen) -> str:
    ends = {"ok": "completes: ok", "fail": "fails: it did not happen", "info": "ends indeterminate"}
    told = ", and the caller was told" if s["told"] else ""
    return f"the publish of {s.key} {ends.get(str(s['outcome']), 'ends: ' + s.word('outcome'))}{told}{s.tail('detail')}"


def _disconnect(s: _Seen) -> str:
    if s["by"] == "client":
        return f"{s.client} closes its connection to {s.server}"
    if s["by"] == "server":
        return f"{s.server} closes its connection to {s.client}"
    return f"the tap closes the connection between {s.client} and {s.server}"


def _source(s: _Seen) -> str:
    return "another place than the source" if s["source"] is False else "the source"


def _subscribe(s: _Seen) -> str:
    prefetch = f"prefetch {s.word('prefetch') if s['prefetch'] else 'unlimited'}" if "prefetch" in s.event.data else ""
    return f"{s.client} asks to consume {_source(s)}{_in_brackets('auto-ack' if s['auto_ack'] else '', prefetch)}"


def _publish(s: _Seen) -> str:
    notes = _in_brackets(
        "no confirm asked for" if s["confirms"] is False else "", "transient" if s["persistent"] is False else ""
    )
    return f"{s.client} publishes {s.key}{s.tail('to', ' to ')}{notes}"


def _deliver(s: _Seen) -> str:
    settled = "settled by being handed over" if s["settled"] else ""
    notes = _in_brackets("redelivered" if s["redelivered"] else "", settled)
    return f"{s.server} delivers {s.key}{notes} to {s.client}"


def _settle(s: _Seen) -> str:
    how = _SETTLES.get(str(s["how"]), f"settles {{}} ({s.word('how')})").replace("{}", s.key)
    requeue = ", to be queued again" if s["requeue"] else ""
    return f"{s.client} {how}{requeue}"


def _closed(s: _Seen) -> str:
    who = s.client if s["by"] == "client" else s.server
    return f"{who} closes the {s.word('scope', 'connection')}{s.tail('code', ' with code ')}{s.tail('reason')}"


def _released(s: _Seen) -> str:
    why = _RELEASED.get(str(s["why"]), s.word("why"))
    if s["forwarded"]:
        return f"gate lets {s.key} go on: {why}"
    return f"gate throws away what it held of {s.key}: {why}"


def _request(s: _Seen) -> str:
    what = " ".join(clean(s[name], 80) for name in ("method", "target") if s[name])
    return f"{s.client} requests the effect of {s.key}{': ' + what if what else ''}"


def _signalled(s: _Seen) -> str:
    signal = _SIGNALS.get(str(s["signal"]), s.word("signal"))
    return f"{signal} is sent to {s.word('instance')} ({_SCOPES.get(str(s['scope']), s.word('scope'))})"


def _exited(s: _Seen) -> str:
    code = s["code"]
    how = f"by signal {-code}" if isinstance(code, int) and code < 0 else f"with code {s.word('code')}"
    asked = "as the harness asked" if s["asked"] else "unasked"
    left = "; processes of it live on" if s["gone"] is False else ""
    return f"{s.word('instance')} ends {how}, {asked}{left}"


def _fault(s: _Seen, done: str, failed: str) -> str:
    return f"{s.word('fault')} {failed if s['ok'] is False else done}{s.evidence}"


def _waiting(s: _Seen) -> str:
    return f"{s.tail('within_s', ', within ')}{' s' if s['within_s'] is not None else ''}{s.tail('waiting_for')}"


def _started(s: _Seen) -> str:
    what = s.tail("container", "container ") or s.tail("pid", "pid ")
    return f"{s.word('instance')} starts{_in_brackets(what, s.tail('incarnation', 'incarnation '))}"


def _yields(s: _Seen) -> str:
    if not s.event.keys:
        return f"the broker yields nothing any more{_at(s)}"
    return f"the broker still yields {s.key}{_at(s)}{', not the source' if s['source'] is False else ''}"


def _at(s: _Seen) -> str:
    return s.tail("place", " at ")


def _lives(s: _Seen) -> str:
    lives = s["ttl_s"]
    return f", for {lives:g} s" if isinstance(lives, int | float) else ""


_SENTENCES: dict[Kind, Callable[[_Seen], str]] = {
    Kind.INVOKE: _invoke,
    Kind.COMPLETE: _complete,
    Kind.CONNECT: lambda s: f"{s.client} connects to {s.server}",
    Kind.TUNED: lambda s: f"{s.client} and {s.server} agree upon heartbeats every {s.word('heartbeat_s')} s (0: none)",
    Kind.DISCONNECT: _disconnect,
    Kind.SUBSCRIBE: _subscribe,
    Kind.SUBSCRIBED: lambda s: f"{s.server} has subscribed {s.client} to {_source(s)}",
    Kind.UNSUBSCRIBED: lambda s: f"{s.client} no longer consumes {_source(s)}",
    Kind.PUBLISH: _publish,
    Kind.CONFIRM: lambda s: f"{s.server} {'refuses (nack)' if s['ok'] is False else 'confirms'} {s.key} to {s.client}",
    Kind.RETURNED: lambda s: f"{s.server} returns {s.key} to {s.client}{s.tail('reason')}",
    Kind.DELIVER: _deliver,
    Kind.SETTLE: _settle,
    Kind.RECLAIM: lambda s: f"{s.client} takes {s.key} back into the source",
    Kind.BLOCKED: lambda s: f"{s.server} blocks {s.client}{s.tail('reason')}",
    Kind.UNBLOCKED: lambda s: f"{s.server} no longer blocks {s.client}{s.tail('reason')}",
    Kind.CLOSED: _closed,
    Kind.RECORD: lambda s: (
        f"{s.client} records {s.key} in {s.word('store', 'the store')}, by {s.word('command')}{_lives(s)}"
    ),
    Kind.RECORDED: lambda s: f"{s.word('store', 'the store')} says of {s.key}: {_YES.get(str(s['ok']), s.word('ok'))}",
    Kind.LOOKUP: lambda s: f"{s.client} looks {s.key} up in {s.word('store', 'the store')}, by {s.word('command')}",
    Kind.LOOKED_UP: lambda s: (
        f"{s.word('store', 'the store')} says: {s.key} {_THERE.get(str(s['found']), s.word('found'))}"
    ),
    Kind.FORGET: lambda s: f"{s.client} takes {s.key} out of {s.word('store', 'the store')}, by {s.word('command')}",
    Kind.UNPARSED: lambda s: f"the tap cannot read what follows{s.bytes}{s.tail('reason')}",
    Kind.UNKEYED: lambda s: f"a {s.word('what', 'message')} without a key passes{_at(s)}",
    Kind.FOREIGN_KEY: lambda s: f"a key of another scenario appears{s.tail('found')}",
    Kind.ASIDE: lambda s: f"{s.client} sends {s.key} aside, as {s.word('what')}{s.tail('to', ' to ')}",
    Kind.ADVICE: lambda s: f"seen on the wire: {s.word('code')}{s.tail('detail', ', ')}",
    Kind.GATE_ARMED: lambda s: f"gate {s.word('gate', '')} is armed".replace("  ", " "),
    Kind.GATE_DISARMED: lambda s: f"gate {s.word('gate', '')} is disarmed".replace("  ", " "),
    Kind.GATE_HELD: lambda s: f"gate holds {s.point}{s.bytes}",
    Kind.GATE_CUT: lambda s: f"gate throws away {s.point} and all behind it{s.bytes}, then closes both ends",
    Kind.GATE_RELEASED: _released,
    Kind.GATE_SKIPPED: lambda s: f"gate passes {s.key} by: {_SKIPPED.get(str(s['why']), s.word('why'))}",
    Kind.SEVERED: lambda s: f"the tap closes a connection of {s.client}, as the harness says",
    Kind.REQUEST: _request,
    Kind.EFFECT: lambda s: f"{s.sink} applies the effect of {s.key}{_in_brackets(s.word('effect', ''))}",
    Kind.REPLAY: lambda s: f"{s.sink} answers {s.key} as before (replay of {s.word('idempotency_key')}), no effect",
    Kind.KEY_REUSED: lambda s: f"{s.sink} sees idempotency key {s.word('idempotency_key')} again, with another body",
    Kind.REFUSED: lambda s: (
        f"{s.sink} refuses {s.key} {'without an answer' if s['status'] == 0 else 'with status ' + s.word('status')}: "
        "nothing applied"
    ),
    Kind.DISCARDED: lambda s: f"{s.sink} discards the request of {s.key}, not applied{s.tail('why')}",
    Kind.RESPONSE: lambda s: f"{s.sink} answers {s.key} with status {s.word('status')}",
    Kind.STARTED: _started,
    Kind.SIGNALLED: _signalled,
    Kind.EXITED: _exited,
    Kind.BOUNDED: lambda s: f"{s.word('instance')} is ended by the harness{s.tail('why')}",
    Kind.FAULT_INJECTED: lambda s: _fault(s, "is injected", "could not be shown to have happened"),
    Kind.FAULT_HEALED: lambda s: _fault(s, "is healed", "could not be shown to have healed"),
    Kind.FAULT_DECLINED: lambda s: f"{s.word('fault')} cannot be aimed here{s.tail('why')}",
    Kind.STEP: lambda s: f"the harness: {s.word('what')}",
    Kind.READY: lambda s: f"{s.client} is ready: its subscription was seen",
    Kind.KEPT_BACK: lambda s: f"{s.word('count')} messages are kept back until after the heal",
    Kind.DRAIN_STARTED: lambda s: f"the drain begins{_waiting(s)}",
    Kind.DRAINED: lambda s: "drained: nothing is in flight",
    Kind.DRAIN_EXPIRED: lambda s: f"the drain ends at its bound{_waiting(s)}",
    Kind.RESTARTED_AFRESH: lambda s: f"{s.word('instance')} is restarted once more, with a new identity",
    Kind.QUIET: lambda s: f"the harness waits {s.word('waited_s', '0')} s for quiet{s.tail('why')}",
    Kind.STOPPED: lambda s: f"stopped: {_names(s['instances'])}",
    Kind.YIELDS: _yields,
    Kind.PARKED: lambda s: f"{s.key} ended in the dead-letter place{s.tail('place', ' ')}",
    Kind.BYPASS: lambda s: f"{s.word('instance')} talks to {s.word('remote')} past its link",
    Kind.NOTE: lambda s: s.word("text"),
    Kind.END: lambda s: f"the ledger file of {clean(s.event.origin)} is closed by its writer",
}


def _names(value: object) -> str:
    return listed([str(v) for v in value], 8) if isinstance(value, list | tuple) else clean(value)


def describe(event: Event, about: str | None = None) -> str:
    """One sentence, without capital or full stop: `broker delivers k7f3q-000117 (redelivered) to payment.0`.

    `about`: the key to name where the event has many.
    """
    said = _SENTENCES[event.kind](_Seen(event, about)).removeprefix("the ")
    return f"{said}: thrown away on the way" if event.data.get("discarded") else said
