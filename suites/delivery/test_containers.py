"""Services that are container images, in whole scenarios: the verdicts are those of the same services as processes.

The flows are those of fixtures/flows/containers.toml; verdicts, fixtures/twins/manifest.toml's and the correct
services' own.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import missing, said
from product import FIXTURES, Said, cli

from chaosharness.flowfile import load
from chaosharness.ledger.reader import merge
from chaosharness.model.errors import BadInput
from chaosharness.model.event import Kind
from chaosharness.model.flow import Flow, Service
from chaosharness.model.verdict import Result, Verdict
from chaosharness.ports.launch import Instance, Signal
from chaosharness.registry import Registry
from chaosharness.report.sentences import describe
from chaosharness.scenario import producing, readiness
from chaosharness.scenario.wiring import Wiring
from chaosharness.servers.docker.engine import Engine
from chaosharness.session.backend import choose_backend
from chaosharness.session.session import Session

FLOWS = FIXTURES / "flows" / "containers.toml"
IMAGE = "chaosharness/service:debian12"
SOON_S = 45.0
"""For what is told within seconds, on a busy machine."""
PAST = """
import os, runpy, socket
host, port = os.environ["PAST"].rsplit(":", 1)
past = socket.socket()
past.setblocking(False)
past.connect_ex((host, int(port)))
runpy.run_path("services/payment.py", run_name="__main__")
"""
"""The honest service, with a connection to somewhere else besides."""


class Contained:
    """A session on Docker."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry.load()
        self.flows = {flow.name: flow for flow in load(FLOWS, self.registry).flows}
        self.session = Session(self.registry, seed=7, runs=folder / "runs", backend=choose_backend("docker"))

    def run(self, flow: Flow | str, cell: str) -> Result:
        """One scenario, of a small workload."""
        flow = self.flows[flow] if isinstance(flow, str) else flow
        flow = replace(flow, workload=replace(flow.workload, messages=40))
        (found,) = (one for one in self.registry.cells(flow) if one.id.cell == cell)
        return self.session.run_cell(flow, found)

    def payment(self, **changes: Any) -> Flow:
        """The honest flow, its consumer changed."""
        flow = self.flows["payment"]
        assert flow.consumer
        env = {**flow.consumer.env, **changes.pop("env", {})}
        return replace(flow, consumer=replace(flow.consumer, env=env, **changes))

    def events(self, result: Result, *kinds: Kind) -> list[str]:
        """In words."""
        assert result.folder
        return [describe(event) for event in merge(self.session.folder / result.folder) if event.kind in kinds]

    @property
    def broker(self) -> Instance:
        return self.session._parts.rig([self.flows["payment"]]).servers["rabbitmq"].instance


@pytest.fixture(scope="module")
def contained(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contained]:
    found = Contained(tmp_path_factory.mktemp("containers"))
    with found.session:
        yield found


# verdicts

UPHELD = [
    "payment[store-confirm:republish]",
    "payment[stored:broker-kill]",
    "payment[store-deliver:cut]",
    "payment[deliver-effect:crash]",
    "payment[effect-response:crash]",
    "payment[effect-ack:crash]",
    "payment[effect-ack:partition]",
    "payment[ack-settle:ack-lost]",
    "orders[publish-store:publish-lost]",
    "orders[store-confirm:confirm-lost]",
    "orders[stored:broker-kill]",
    "orders_http[publish-store:publish-lost]",
    "orders_http[store-confirm:confirm-lost]",
    "replicated[effect-ack:crash]",
    "replicated[effect-ack:partition]",
    "shipper[effect-ack:crash]",
    "shipper[stored:broker-kill]",
]


@pytest.mark.parametrize("scenario", UPHELD)
def test_a_correct_service_keeps_its_promise(contained: Contained, scenario: str) -> None:
    flow, _, cell = scenario.removesuffix("]").partition("[")
    result = contained.run(flow, cell)
    assert result.verdict is Verdict.UPHELD, said(result)


FOUND = [
    ("ack_before_effect[deliver-effect:crash]", "lost", "acked without effect"),
    ("no_dedup[effect-ack:crash]", "duplicated", "applied again after a redelivery"),
    ("no_dedup[store-confirm:republish]", "duplicated", "applied again after it was published more than once"),
]


@pytest.mark.parametrize(("scenario", "kind", "attribution"), FOUND)
def test_a_twin_is_found_out(contained: Contained, scenario: str, kind: str, attribution: str) -> None:
    flow, _, cell = scenario.removesuffix("]").partition("[")
    result = contained.run(flow, cell)
    assert result.verdict is Verdict.VIOLATED, said(result)
    assert (kind, attribution) in {(one.kind, one.attribution) for one in result.judgement.findings}


def test_what_a_new_identity_does_not_take_back_is_stranded(contained: Contained) -> None:
    """Restarted afresh, under another host name, while the container before is still on its way out."""
    shipper = contained.flows["shipper"]
    assert shipper.consumer
    twin = replace(
        shipper,
        consumer=replace(shipper.consumer, command="python3 twins/blmove_without_reaper.py"),
        promise=replace(shipper.promise, drain_within_s=3.0),
    )
    result = contained.run(twin, "deliver-effect:crash")
    assert result.verdict is Verdict.VIOLATED, said(result)
    assert {one.kind for one in result.judgement.findings} == {"stranded"}
    assert contained.events(result, Kind.RESTARTED_AFRESH)


# evidence


def test_evidence_names_the_container(contained: Contained) -> None:
    result = contained.run("payment", "effect-ack:crash")
    (injected,) = contained.events(result, Kind.FAULT_INJECTED)
    assert "SIGKILL to container " in injected
    assert "gone, exit code 137" in injected
    assert "is at end of file (first: client)" in injected
    starts = contained.events(result, Kind.STARTED)
    assert len(starts) == 2
    assert starts[0].startswith("payment.0 starts (container ")


def test_its_links_are_where_containers_see_them(contained: Contained) -> None:
    """On Toxiproxy's own address: a published one may be this machine's alone."""
    tells = contained.payment(command="""sh -c 'echo "$AMQP_URL $CHARGES_URL"; exit 7'""", restart="never")
    result = contained.run(tells, CRASH)
    assert result.folder
    log = (contained.session.folder / result.folder / "payment.0.log").read_text("utf-8")
    hosts = re.findall(r"(?:@|//)([0-9.]+):[0-9]+", log)
    ground = contained.session._parts.rig([tells]).launcher.ground  # type: ignore[attr-defined]
    assert len(hosts) == 2
    assert ground.links.gateway not in hosts
    assert all(host.rsplit(".", 1)[0] == ground.links.gateway.rsplit(".", 1)[0] for host in hosts)


# what never gets ready


@pytest.mark.parametrize("restart", ["always", "never"])
def test_one_that_ends_at_once_is_told_with_its_log(contained: Contained, restart: str) -> None:
    broken = contained.payment(command="sh -c 'echo no database to be found >&2; exit 7'", restart=restart)
    result = contained.run(broken, "effect-ack:crash")
    assert "ready_before_publish" in missing(result)
    (note,) = (note for note in result.judgement.notes if "ended before it subscribed" in note)
    assert "payment.0 ended before it subscribed to orders.paid (exit codes 7" in note
    assert "no database to be found" in note
    assert result.phases_s["start"] < readiness.READY_WITHIN_S / 2


def test_one_that_never_listens_is_told_where_it_should(contained: Contained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producing, "READY_WITHIN_S", 2.0)
    flow = contained.flows["orders_http"]
    assert flow.producer
    service = flow.producer.service
    hidden = replace(service, env={**service.env, "HOST": "127.0.0.1"})
    result = contained.run(replace(flow, producer=replace(flow.producer, service=hidden)), "effect-ack:crash")
    (note,) = (note for note in result.judgement.notes if "to listen at" in note)
    assert "({port} on every interface of its container)" in note
    assert "orders_http listening" in note


# the guard


CRASH = "effect-ack:crash"


def went_past(result: Result, remote: str) -> None:
    assert missing(result)["observed_whole"].startswith(f"payment.0 went past the taps to {remote}"), said(result)


@pytest.mark.parametrize("way", ["by /proc", "by a second container"])
@pytest.mark.parametrize("which", ["published", "inside"])
def test_one_that_tries_to_go_past_its_link(
    contained: Contained, monkeypatch: pytest.MonkeyPatch, way: str, which: str
) -> None:
    """Docker lets nothing through from one network to the other; that it was tried is enough."""
    if way != "by /proc":
        monkeypatch.setattr("chaosharness.servers.docker.inside._is_ours", lambda pid, container: False)
    broker = contained.broker
    remote = str((broker.nodes if which == "published" else broker.inside)["amqp"])
    result = contained.run(contained.payment(command=shlex.join(["python3", "-c", PAST]), env={"PAST": remote}), CRASH)
    assert set(missing(result)) == {"observed_whole"}
    went_past(result, remote)


def test_one_that_knows_the_address_that_the_broker_has_since_its_restart(contained: Contained) -> None:
    """The broker's container comes back under another address: what was known of it before is of no use."""
    broker = contained.broker
    before = broker.inside["amqp"]
    launcher = contained.session._parts.rig([contained.flows["payment"]]).launcher
    ground = launcher.ground  # type: ignore[attr-defined]
    assert broker.signal(Signal.KILL).ok
    usurper = ground.create(IMAGE, "usurper", command=["sleep", "600"], network=ground.servers.name)
    try:
        usurper.start()
        assert broker.restart().ok
        contained.session._parts.rig([contained.flows["payment"]]).servers["rabbitmq"].server.wait_ready(broker)
        now = broker.inside["amqp"]
        assert now != before
        went_past(
            contained.run(
                contained.payment(command=shlex.join(["python3", "-c", PAST]), env={"PAST": str(now)}), CRASH
            ),
            str(now),
        )
    finally:
        usurper.remove(force=True)


def test_one_that_goes_to_the_tap_itself(contained: Contained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which it can reach, and which sees all that it does; but no fault of its link would reach it."""
    original = Wiring._connection

    def to_the_tap(self: Wiring, name: str, service: Service, replica: int, producer: bool) -> dict[str, str]:
        values = original(self, name, service, replica, producer)
        (tap,) = (link.upstream for link in self.links.values() if link.link_id.server == "broker")
        return {**values, name: self.broker.connection_string(tap, self.namespace)}

    monkeypatch.setattr(Wiring, "_connection", to_the_tap)
    result = contained.run("payment", CRASH)
    assert "went past the taps to " in missing(result)["observed_whole"], said(result)


# bad input


def test_what_the_image_does_not_have(contained: Contained) -> None:
    with pytest.raises(BadInput, match=f"payment.0: {IMAGE} cannot run no-such-program: .*not found"):
        contained.run(contained.payment(command="no-such-program"), CRASH)
    result = contained.run("payment", CRASH)  # the session goes on
    assert result.verdict is Verdict.UPHELD, said(result)


def test_a_network_that_is_not_there(contained: Contained) -> None:
    with pytest.raises(BadInput, match=r"payment.0: its network 'no-such-network' cannot be joined: .*not found"):
        contained.run(contained.payment(network="no-such-network"), CRASH)


def write(folder: Path, image: str = IMAGE) -> Path:
    text = FLOWS.read_text("utf-8").replace(IMAGE, image)
    file = folder / "flows.toml"
    file.write_text(text, encoding="utf-8")
    return file


def told(folder: Path, *arguments: str) -> Said:
    began = time.monotonic()
    ended = cli(folder, "run", "flows.toml", *arguments)
    assert time.monotonic() - began < SOON_S
    assert ended.code == 2, ended
    return ended


def test_an_image_that_is_not_to_be_had_is_told_within_seconds(docker_engine: Engine, tmp_path: Path) -> None:
    write(tmp_path, "localhost:1/shop/payment:1")
    ended = told(tmp_path, "--backend", "docker", "--only", "payment[*")
    assert "the image localhost:1/shop/payment:1 is not to be had" in ended.err
    assert "flow payment, consumer.image" in ended.err
    assert not list(tmp_path.glob(".chaosharness/runs/*/servers"))  # none was started for nothing


def test_an_image_on_the_local_backend_is_told_before_anything_starts(tmp_path: Path) -> None:
    write(tmp_path)
    ended = told(tmp_path, "--backend", "local")
    assert f"flow payment, consumer.image: the image {IMAGE} needs the backend docker" in ended.err
    assert "`--backend docker` runs it; the backend here is local (--backend says so)" in ended.err
    assert not list(tmp_path.glob(".chaosharness/runs/*/*"))
