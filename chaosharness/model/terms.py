"""What every word of the product means: a paragraph for each window, fault, finding, code, semantic and term.

In: a word as a person types it. Out: its paragraph. To try it: `explain("effect-ack")`. Windows and faults have their
words in `model.window`; a test holds this file to all catalogues. In the texts below a line that is not
indented begins a term.
"""

from __future__ import annotations

from chaosharness.model.errors import BadInput
from chaosharness.model.names import nearest
from chaosharness.model.window import FAULTS, WINDOWS

_WORDS = """
message: A payload with an id given before its first send. Its key is what effects are counted by.
key: What a message is known by: a nonce of the scenario and a number, `k7f3q-000117`. Taps and sinks find it by its
  shape, anywhere in properties, headers, URL or body; `source.key` and `effect.key` name the place where that is not
  enough. It is not the idempotency key (what a sink collapses on) nor the ordering key (what order is kept within).
idempotency key: What a sink collapses repeated requests on, declared as `effect.idempotent_by`. A request that is
  collapsed is replayed, not an effect; the same key with another body is the finding `key_reused`.
ordering key: What messages must keep their order within, declared as `ordered_by`: a place in the message that is
  published. Of each, the workload keeps one publish outstanding at most: only what came one after the other compares.
payload class: Messages of another kind among a workload's, declared in `workload.classes`: another payload, and a
  number of effects of their own, 0 for those that are to be dropped.
flow: One named path producer → broker → consumer → effect, under one declared semantic, with the reason for it.
semantic: What a flow promises about loss and duplicates: `at_most_once`, `at_least_once` or `effectively_once`. It
  is declared, with its reason, and every scenario holds the flow to it.
observed semantic: The strongest semantic that a history allows, shown beside the declared one. Over many windows it
  is "not refuted in 9 of 12 windows", never "is".
operation: One attempt to publish: an invocation, then at most one completion: `ok`, `fail` (it did not happen) or
  `info` (indeterminate: it may have happened).
ledger: The append-only record, written ahead: an observation is in it before what was observed may go on.
history: The merged, ordered, immutable ledger of one scenario: operations, deliveries, acks, effects, faults.
delivery: A broker hands a message to a consumer.
redelivery: A broker hands a message over again. It is no duplicate effect by itself: what the consumer makes of it
  decides.
publisher confirm: The broker's word to the producer that it has the message. Not the consumer ack.
consumer ack: The consumer's word to the broker that the message is done with. Not the publisher confirm.
effect: What the outside world can see of a processed message: a charge, a row, a mail. It counts when it was
  applied: the sink's state changed. A redelivery is no effect, nor is a request that the sink collapsed.
window: A named stretch of a message's life in which a fault is dangerous, e.g. `effect-ack`: the effect is applied,
  and the broker does not know yet. A fault is aimed at a window by a gate, not by a clock.
fault: Something that is injected, confirmed by evidence, then healed.
scenario: One flow × one window × one fault, run once, with a seed. Written `payment[effect-ack:crash]`.
run: One session of pytest or of `chaosharness run`: many scenarios, one folder.
aim: What a broker, a sink or a store says of a window: which gate, which faults, whether a redelivery is promised,
  or why the window is not applicable.
drain: The bounded wait after the heal until nothing is in flight: `recover_within_s`, or else `drain_within_s`.
nudge: A few more messages, published where the drain came to its bound and the broker still holds some: a consumer
  that looks at what it left only when something comes gets its chance. They are owed and counted as any.
poison message: One that can never succeed: nobody can read it, the sink refuses it, or its consumer dies of it. In the
  dead-letter place that the source declares it is where it belongs; gone it is `lost`, held it is `stuck`.
finding: One contradiction between history and semantic, with the smallest evidence that shows it.
verdict: `upheld`, `violated` or `unproven`. The first two only where the window was hit, the fault has evidence and
  the aftermath was seen whole.
upheld: The scenario proved something, and nothing in its history contradicts the declared semantic.
violated: The scenario proved something, and at least one finding contradicts the declared semantic. Exit code 1.
unproven: The history does not show all that a verdict needs; the codes name what is missing. It fails (exit code 3),
  because a test that proves nothing must not be green. It cannot be waived.
not_applicable: The flow has no such window, or the fault cannot be aimed there; the reason is in the matrix. It is
  no failure.
waiver: A declared exemption: scenario pattern, finding kind, the most that is allowed, and why. Every report shows
  it, also when nothing used it.
twin: A deliberately broken variant of a service, which a suite must find out; else the suite proves nothing.
backend: Where servers come from: `docker` (containers) or `local` (processes).
link: One replica's way to one node of one server, through a proxy. It carries the network faults.
tap: What reads a server's own wire protocol as it passes, in both directions, without the service's knowledge. It
  writes the ledger, and it can hold, drop or cut the stream at one exact frame.
sink: Where effects land: an HTTP stub, a database table, an output topic, a mailbox, a UDP port.
store: What a service leans on to keep its promise: a Redis dedup store, a database.
gate: A point in a tap or a sink where one message is held while something is broken. A hold stalls its channel,
  partition or connection in order; heartbeats and other channels go on.
owed: Messages whose publish completed `ok`, or that a tap saw confirmed, or delivered and settled. Each owes its
  effects. A delivery alone obliges nobody: a broker may hand over what it has not stored yet.
held: The broker's durable position still yields the message without an operator: ready or unacknowledged in the
  queue, or in one reachable by its dead-letter and retry bindings.
replayed: A request that the sink collapsed by its idempotency key: harmless, and counted apart.
recovered: A publish that was indeterminate, and whose message has its effects after all. Never lost.
unkeyed: A message of the source, or a request of the effect, in which no key is found. The scenario is unproven
  then, unless the flow says `unkeyed = "ignore"`.
advice: A choice seen on the wire that nobody wrote down: auto-ack, transient messages, no confirms, unlimited
  prefetch, a time to live shorter than `redeliver_within_s`. Shown in the report with the frame it was seen in.
seed: The number that every draw of a scenario comes from: `--seed N` makes the same scenario again.
probe: `chaosharness probe FILE` runs every window of flows that declare no semantic yet, and says which semantic was
  not refuted.
keeper: The process that is the parent of every server and service. When the harness is gone, however it went, the
  keeper ends them all and itself.
relay: The process that holds the taps and the sinks.
at_most_once: Nothing duplicated, unexpected or phantom. Loss is measured, and held to `max_loss` if that is given. A
  window that cannot duplicate is upheld, marked `loss measured`, and proves nothing about loss.
at_least_once: Nothing lost, parked (beyond `max_parked`), stranded, unexpected or phantom. Duplicates are reported,
  and held to `max_duplicates` if that is given.
effectively_once: Nothing lost and nothing duplicated: both `at_least_once` and `at_most_once`. Messages may be sent
  and delivered many times; their effects happen as often as intended.
"""

_FINDINGS = """
lost: Owed, with fewer effects than intended at the recovery bound, and neither held nor parked. Always with its
  attribution: never accepted, lost by the broker, never delivered, delivered without effect, acked without effect.
stranded: Held past the bound, nobody tried to reclaim it, later messages went through, and one more restart with new
  values of {replica} and {host} did not bring it back. It breaks at_least_once.
stuck: Owed, without effect, and still held at the recovery bound. It breaks the promise only where the flow declares
  `recover_within_s`; else the scenario is unproven, and says which bound to raise.
parked: Ended in the declared dead-letter place. Right for a poison message; a finding for a good one, unless the
  flow allows it by `max_parked`.
duplicated: More effects than intended for one key.
unexpected: An effect of a key that was never attempted.
phantom: A publish that was reported as `fail` has an effect.
reordered: First effects of one ordering key out of order, where one publish completed before the next began. A
  replay (1 2 3 2 3 4) is no reordering.
regressed: A final state that is older than an earlier one, after a replay out of order.
key_reused: The same idempotency key with another body. It breaks every semantic.
producer_gave_up: The aimed publish never completed and its caller was never told. It breaks every semantic.
late: An effect after `recover_within_s`. It breaks every semantic.
bound_exceeded: More of something than its `max_loss`, `max_duplicates` or `max_parked`. It breaks every semantic.
"""

_CODES = """
workload_ran: The workload was published as planned.
ready_before_publish: The consumer was seen subscribed on the wire before the first message was published.
owed_target: The aimed message is owed; in a producer window: its operation completed, or its caller was told.
window_hit: The gate had the aimed message in the window when the fault struck.
hold_first: The hold itself did not make the service act before the fault had evidence (a client's time-out, a lost
  heartbeat): else another window was shown.
fault_evidence: The fault is seen to have happened: the processes are gone, the toxic was read back, the connection
  is at its end. A call that returned is no evidence.
progress_after: Messages kept back until after the heal went through.
drained: Nothing is in flight at the end, but what has been classed stranded, or stuck under `recover_within_s`.
redelivered: Where the broker promises to hand an unsettled delivery over again, it did, and it had a consequence.
observed_whole: No unkeyed messages, no unparsed stretch on a tap in the window, no gap in a ledger.
quiet_end: At the end nothing could act any more: what could was waited out, the services were stopped, then the
  sinks closed.
"""

_WINDOWS = """
effect-ack: A crash here is aimed at the held acknowledgement: the consumer has its answer, has recorded what it
  records, and its ack stands at the tap. With the answer held instead, it is `effect-response:crash`; the two find
  different mistakes. A consumer that acknowledges before the effect has no such window.
publish-store: With the harness as producer it would test the harness: not applicable.
store-confirm: With the harness as producer it would test the harness: not applicable, save `republish`, in which the
  harness publishes the aimed message's bytes once more, whoever produced it.
stored: The aimed delivery is held, unsettled, at the tap. Where a message is settled on delivery: not applicable.
  The kill of one process shows nothing of the loss of a host.
deliver-effect: A consumer that acknowledges first loses the message here; one that acknowledges last gets it again.
effect-response: Harmless where the request carries an idempotency key that its repetition carries too.
ack-settle: The broker never saw the ack, so the message comes again, with its effect applied and answered.
dedup: Aimed between what a store remembers of a message and the redelivery that asks for it. A flow whose store alone
  stands between a redelivery and a second effect breaks when that store is wiped; `expire` shortens nothing that the
  flow promises: it is applicable where a time to live seen on the wire is shorter than `redeliver_within_s`.
store-deliver: A broker that settles a message when it writes it to a socket loses it here.
"""


def _read(text: str) -> dict[str, str]:
    terms: dict[str, str] = {}
    term = ""
    for line in text.strip().splitlines():
        if line.startswith(" "):
            terms[term] += " " + line.strip()
        else:
            term, _, begins = line.partition(": ")
            terms[term] = begins
    return terms


WORDS = _read(_WORDS)
"""The terms themselves, and the semantics and verdicts."""
FINDINGS = _read(_FINDINGS)
CODES = _read(_CODES)


def _all_terms() -> dict[str, str]:
    terms = {word: [text] for word, text in WORDS.items()}
    notes = _read(_WINDOWS)
    for window in WINDOWS.values():
        question = window.question[0].upper() + window.question[1:]
        text = f"Window {window.arrow}: from when {window.opens} until {window.closes}. {question}"
        terms.setdefault(window.id, []).append(f"{text} {notes.get(window.id, '')}".strip())
    for fault, text in FAULTS.items():
        terms.setdefault(fault, []).append(f"Fault: {text}.")
    for kind, text in FINDINGS.items():
        terms.setdefault(kind, []).append(f"Finding: {text}")
    for code, text in CODES.items():
        terms.setdefault(code, []).append(f"What a verdict needs: {text} Without it the scenario is unproven.")
    return {term: "\n".join(texts) for term, texts in terms.items()}


TERMS: dict[str, str] = _all_terms()
"""Every term to its paragraph; a word that is two things (the window and the fault `slow`) has both."""


def explain(term: str) -> str:
    """The paragraph of a term, however it is spelt: `Effect Ack`, `effect → ack`, `key reused`.

    A whole id is explained part by part: `payment[effect-ack:crash]`, `effect-ack:crash`. Raises BadInput with the
    nearest terms.
    """
    cell = term.partition("[")[2].removesuffix("]") or term
    parts = [part for part in cell.replace("+", ":").split(":") if part.strip()]
    if len(parts) > 1:
        return "\n".join(f"{part}: {explain(part)}" for part in parts)
    by_plain = {_plain(known): known for known in TERMS}
    plain = _plain(cell)
    for candidate in (plain, plain.removesuffix("s"), plain.removesuffix("es")):
        if candidate in by_plain:
            return TERMS[by_plain[candidate]]
    near = [by_plain[found] for found in nearest(plain, by_plain, 3)]
    hint = f"did you mean {' or '.join(near)}?" if near else "`chaosharness explain` knows the words of every report"
    raise BadInput(f'no term "{term}"; {hint} (known: {", ".join(sorted(TERMS))})')


def _plain(term: str) -> str:
    return "".join(letter for letter in term.lower() if letter.isalnum())
