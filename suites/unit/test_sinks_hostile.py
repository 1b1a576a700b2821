"""A hostile client of the HTTP sink: noise, and real requests with bytes changed, lost, doubled and moved."""

from __future__ import annotations

from typing import Any

import pytest
from hostile import SINK, STRICT, hold_http, kinds
from hostile_talk import HTTP, charge, request
from hypothesis import given
from hypothesis import strategies as st
from taps_resp_talk import UNHURRIED
from test_taps_hostile import edits, mutated

from chaosharness.model.event import Kind
from chaosharness.ports.wire import Side

APPLIED = [Kind.REQUEST, Kind.EFFECT, Kind.RESPONSE]
either = st.sampled_from([SINK, STRICT])


def tampered(pieces: list[bytes], changes: list[tuple[str, int, int, bytes]]) -> list[bytes]:
    return [data for _, data in mutated([(Side.CLIENT, piece) for piece in pieces], changes)]


@pytest.mark.parametrize("name", HTTP)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_is_no_attack_is_answered(name: str, size: int) -> None:
    whole = b"".join(HTTP[name])
    seen = hold_http([whole[at : at + size] for at in range(0, len(whole), size)], SINK)
    assert kinds(seen)[:3] == APPLIED
    assert Kind.UNPARSED not in kinds(seen)


@UNHURRIED
@given(st.lists(st.binary(max_size=60), max_size=8), either)
def test_noise(pieces: list[bytes], options: dict[str, Any]) -> None:
    hold_http(pieces, options)


@UNHURRIED
@given(st.sampled_from(sorted(HTTP)), edits, either)
def test_requests_that_are_tampered_with(
    name: str, changes: list[tuple[str, int, int, bytes]], options: dict[str, Any]
) -> None:
    hold_http(tampered(HTTP[name], changes), options)


@UNHURRIED
@given(st.binary(max_size=40))
def test_noise_behind_a_request(noise: bytes) -> None:
    """What came before it was applied and answered as without it."""
    assert kinds(hold_http([charge(1), noise, charge(2)], SINK))[:3] == APPLIED


ODD = '{"order_id": "kabcd-000001", "idem": "\\ud800"}'
"""JSON allows half a surrogate pair, UTF-8 does not."""


@pytest.mark.parametrize(
    "data",
    [
        request("POST /v1/charges HTTP/1.1", ODD),
        request("POST /v1/charges HTTP/1.1", '{"order_id": "kabcd-000001", "idem": %s1}' % ("9" * 5000)),
        request("POST //[/v1/charges HTTP/1.1", '{"order_id": "kabcd-000001"}'),
        request("CONNECT kabcd-000001:443 HTTP/1.1", ""),
        request("POST /v1/charges HTTP/1.1", '{"order_id": "kabcd-000001"}', "Upgrade: h2c", "Connection: upgrade"),
        b"POST /v1/charges HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/charges HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        request("HEAD /v1/charges HTTP/1.1", "") + b"HEAD\r\n\r\n",
        request("HEAD /v1/charges HTTP/1.1", "") + request("GET  / HTTP/1.1", ""),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
@pytest.mark.parametrize("options", [SINK, STRICT])
def test_once_found(data: bytes, options: dict[str, Any]) -> None:
    hold_http([data, charge(2)], options)
