"""The HTTP sink in a real relay, over real sockets: what is an effect, what is not, and what a client is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from http_bench import ABOUT_REQUESTS, APPLIED, Answer, Bench, bench_of, charge
from relay_bench import AIMED, KEYS, Scene

from chaosharness.model.event import Kind
from chaosharness.model.flow import Effect
from chaosharness.model.gate import Point
from chaosharness.relay.client import RelayClient
from chaosharness.servers.local import LocalLauncher

OTHER = "kwxyz"
"""The nonce of an earlier scenario of the same run."""


@pytest.fixture(scope="module")
def relay(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayClient]:
    relay = RelayClient.start(launcher, tmp_path_factory.mktemp("relay"))
    yield relay
    relay.close()


@pytest.fixture
def bench(relay: RelayClient, tmp_path: Path) -> Iterator[Bench]:
    with bench_of(relay, tmp_path / "ledger") as bench:
        yield bench


# -- what HTTP allows a client to do -----------------------------------------------------------------------------------


def test_one_connection_carries_many_requests(bench: Bench) -> None:
    caller = bench.sink().caller()
    for key in KEYS:
        caller.send(charge(key))
        assert caller.answer() == Answer(200, {"content-type": "application/json", "content-length": "2"}, b"{}")
    assert bench.keys(Kind.EFFECT) == KEYS
    assert len({event.conn for event in bench.scene.events(Kind.EFFECT)}) == 1
    assert len({event.data["effect"] for event in bench.scene.events(Kind.EFFECT)}) == len(KEYS)


def test_a_request_that_comes_byte_by_byte_is_one_request(bench: Bench) -> None:
    caller = bench.sink().caller()
    for byte in charge(AIMED):
        caller.send(bytes([byte]))
    assert caller.answer().status == 200
    assert bench.kinds() == APPLIED


def test_a_key_that_two_chunks_share_is_found(bench: Bench) -> None:
    caller = bench.sink().caller()
    caller.send(b"POST /v1/charges HTTP/1.1\r\nHost: stub\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in (AIMED[:5].encode(), AIMED[5:].encode(), b""):
        caller.send(f"{len(part):x}\r\n".encode(), part, b"\r\n")
    assert caller.answer().status == 200
    assert bench.keys(Kind.EFFECT) == [AIMED]


def test_pipelined_requests_are_answered_in_order(bench: Bench) -> None:
    caller = bench.sink().caller()
    caller.send(*(charge(key) for key in KEYS), b"GET /health HTTP/1.1\r\nHost: stub\r\n\r\n")
    assert [caller.answer().status for _ in [*KEYS, "health"]] == [200] * 11
    assert bench.kinds() == APPLIED * len(KEYS)
    assert bench.keys(Kind.RESPONSE) == KEYS


def test_pipelined_requests_wait_behind_a_held_one(bench: Bench) -> None:
    bench.arm(Point.REQUEST)
    caller = bench.sink().caller()
    caller.send(*(charge(key) for key in KEYS))
    assert [caller.answer().status for _ in KEYS[:4]] == [200] * 4
    bench.scene.wait(Kind.GATE_HELD)
    assert bench.keys(Kind.REQUEST) == KEYS[:5]
    assert bench.scene.release(forward=True)
    assert [caller.answer().status for _ in KEYS[4:]] == [200] * 6
    assert bench.keys(Kind.EFFECT) == KEYS


def test_a_client_that_asks_first_is_told_to_go_on(bench: Bench) -> None:
    caller = bench.sink().caller()
    request = charge(AIMED, None, "Expect: 100-continue")
    head, _, body = request.partition(b"\r\n\r\n")
    caller.send(head, b"\r\n\r\n")
    assert caller.answer().status == 100
    caller.send(body)
    assert caller.answer().status == 200
    assert bench.keys(Kind.EFFECT) == [AIMED]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_asks_only_is_answered_and_has_no_effect(bench: Bench, method: str) -> None:
    caller = bench.sink().caller()
    caller.send(f"{method} /v1/charges/{AIMED} HTTP/1.1\r\nHost: stub\r\n\r\n".encode())
    assert caller.answer(head=method == "HEAD").status == 200
    caller.send(charge(KEYS[5]))
    assert caller.answer().status == 200
    assert bench.kinds() == APPLIED
    assert bench.keys(Kind.EFFECT) == [KEYS[5]]


def test_an_http_1_0_client_is_answered_and_its_connection_closed(bench: Bench) -> None:
    caller = bench.sink().caller()
    caller.send(charge(AIMED).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert caller.answer().body == b"{}"
    assert caller.closed()
    assert bench.kinds() == APPLIED


def test_a_connection_is_closed_where_the_client_asks_for_it(bench: Bench) -> None:
    caller = bench.sink().caller()
    caller.send(charge(AIMED, None, "Connection: close"))
    answer = caller.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert caller.closed()


# -- what is no request, or not the effect -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage", [b"hello, is anybody there?\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"]
)
def test_what_is_not_http_is_refused_and_recorded(bench: Bench, garbage: bytes) -> None:
    caller = bench.sink().caller()
    caller.send(garbage)
    assert caller.answer().status == 400
    assert caller.closed()
    (unparsed,) = bench.scene.events(Kind.UNPARSED)
    assert "not an HTTP request" in unparsed.data["reason"]


def test_a_huge_header_is_refused_and_the_client_can_read_why(bench: Bench) -> None:
    caller = bench.sink().caller()
    caller.send(charge(AIMED, None, "X-Long: " + "x" * 1_000_000))
    assert caller.answer().status == 431
    assert caller.closed()
    assert bench.kinds() == [Kind.UNPARSED]


def test_another_path_is_no_effect_and_says_what_was_declared(bench: Bench) -> None:
    caller = bench.sink().caller()
    caller.send(charge(AIMED, target="/v1/refunds"))
    answer = caller.answer()
    assert answer.status == 404
    assert json.loads(answer.body)["error"] == (
        "chaosharness: POST /v1/refunds is not the declared effect (POST /v1/charges)"
    )
    (aside,) = bench.scene.events(*ABOUT_REQUESTS)
    assert (aside.kind, aside.keys, aside.data["to"]) == (Kind.ASIDE, (AIMED,), "POST /v1/refunds")


def test_a_request_without_a_key_is_answered_and_recorded(bench: Bench) -> None:
    caller = bench.sink().caller()
    caller.send(charge("no-key"))
    assert caller.answer().status == 200
    assert bench.kinds() == [Kind.UNKEYED]


def test_a_key_of_an_earlier_scenario_is_told_from_none(relay: RelayClient, tmp_path: Path) -> None:
    with ExitStack() as ends:
        bench = Bench(Scene(relay, tmp_path / "ledger", others=(OTHER,)), ends).sink()
        caller = bench.caller()
        caller.send(charge(f"{OTHER}-000004"))
        assert caller.answer().status == 200
        assert [event.data.get("found") for event in bench.scene.events(Kind.FOREIGN_KEY)] == [f"{OTHER}-000004"]
        assert bench.keys(Kind.EFFECT) == []
        relay.end()


# -- where the key stands ----------------------------------------------------------------------------------------------

WRAPPED = AIMED.replace("-", "%2D")
FORM = "Content-Type: application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("target", "path", "body", "headers"),
    [
        ("POST /v1/orders/{id}", f"/v1/orders/{AIMED}", b"", ()),
        ("POST /v1/orders/{id}", f"/v1/orders/{WRAPPED}", b"", ()),
        ("POST /v1/orders/{id}/pay", f"/v1/orders/%22{AIMED}%22/pay", b"", ()),
        ("POST /v1/charges", f"/v1/charges?order={AIMED}", b"", ()),
        ("POST /v1/charges", f"/v1/charges?order=%7B%22id%22%3A%22{AIMED}%22%7D", b"", ()),
        ("POST /v1/charges", "/v1/charges", b"", (f"X-Order: {AIMED}",)),
        ("POST /v1/charges", "/v1/charges", f"<order>{AIMED}</order>".encode(), ()),
        ("POST /v1/charges", "/v1/charges", f"payload=%7B%22id%22%3A%22{AIMED}%22%7D".encode(), (FORM,)),
    ],
)
def test_a_key_is_found_by_its_shape(
    bench: Bench, target: str, path: str, body: bytes, headers: tuple[str, ...]
) -> None:
    caller = bench.sink(Effect("charge", "http", target)).caller()
    caller.send(charge("", body, *headers, target=path))
    assert caller.answer().status == 200
    assert bench.keys(Kind.EFFECT) == [AIMED]


PLACES = [
    ("header:X-Order", "/v1/charges/1", b"{}", "X-Order"),
    ("body:json:$.order.ids[1]", "/v1/charges/1", json.dumps({"order": {"ids": ["x", AIMED]}}).encode(), "X-Other"),
    ("query:order", f"/v1/charges/1?order={WRAPPED}", b"{}", "X-Other"),
    ("path:/v1/charges/{key}", f"/v1/charges/{WRAPPED}", b"{}", "X-Other"),
]


@pytest.mark.parametrize(("place", "path", "body", "header"), PLACES)
def test_a_key_is_read_where_it_is_declared_alone(
    bench: Bench, place: str, path: str, body: bytes, header: str
) -> None:
    caller = bench.sink(Effect("charge", "http", "POST /v1/charges/{id}", key=place)).caller()
    carrier = f"{header}: {AIMED}" if header == "X-Order" else f"{header}: {KEYS[7]}"
    caller.send(charge("", body, carrier, target=path))
    assert caller.answer().status == 200
    caller.send(charge("", json.dumps({"elsewhere": AIMED}).encode(), target="/v1/charges/1"))
    assert caller.answer().status == 200
    assert bench.kinds() == [*APPLIED, Kind.UNKEYED]
    assert bench.keys(Kind.EFFECT) == [AIMED]


# -- what is answered --------------------------------------------------------------------------------------------------


def test_the_declared_answer_is_given(bench: Bench) -> None:
    caller = bench.sink(Effect("charge", "http", "", answer_status=201, answer_body='{"id": "ch_1"}')).caller()
    caller.send(charge(AIMED))
    answer = caller.answer()
    assert (answer.status, answer.body) == (201, b'{"id": "ch_1"}')
    assert bench.keys(Kind.EFFECT) == [AIMED]


def test_an_answer_without_content_keeps_the_connection(bench: Bench) -> None:
    caller = bench.sink(Effect("charge", "http", "", answer_status=204)).caller()
    for key in KEYS[:2]:
        caller.send(charge(key))
        answer = caller.answer()
        assert (answer.status, "content-length" in answer.headers) == (204, False)
    assert bench.keys(Kind.EFFECT) == KEYS[:2]


def test_an_empty_body_is_an_answer_too(bench: Bench) -> None:
    caller = bench.sink(Effect("charge", "http", "", answer_body="")).caller()
    for key in KEYS[:2]:
        caller.send(charge(key))
        assert caller.answer().body == b""


def test_an_answer_of_400_or_above_applies_nothing(bench: Bench) -> None:
    caller = bench.sink(
        Effect("charge", "http", "", answer_status=500, idempotent_by="header:Idempotency-Key")
    ).caller()
    for _ in range(2):
        caller.send(charge(AIMED, idem=AIMED))
        assert caller.answer().status == 500
    assert bench.kinds() == [Kind.REQUEST, Kind.REFUSED, Kind.RESPONSE] * 2
