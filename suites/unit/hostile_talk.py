"""Real conversations, whole, for a hostile peer to begin with: (side, bytes) turns that are read to the end.

`fixtures/fuzz` holds the same bytes as files, from which the fuzzer starts.
"""

from __future__ import annotations

import json

from pamqp import heartbeat
from taps_amqp_talk import HELLO, Basic, C, Channel, Confirm, Connection, Exchange, Queue, S, deliver, f, key, publish
from taps_resp_talk import FOREIGN, K1, K2, K3, MOVES, NIL, OK, QUEUED, array, body, bulk, cmd

OPENING = [
    (C, HELLO),
    (S, f(Connection.Start(), 0)),
    (C, f(Connection.StartOk(mechanism="PLAIN", response="\0guest\0guest"), 0)),
    (S, f(Connection.Tune(2047, 131072, 60), 0)),
    (C, f(Connection.TuneOk(2047, 131072, 60), 0) + f(Connection.Open("/"), 0)),
    (S, f(Connection.OpenOk(), 0)),
    (C, f(Channel.Open(), 1)),
    (S, f(Channel.OpenOk(), 1)),
]

AMQP = {
    "publisher": [
        *OPENING,
        (C, f(Exchange.Declare(exchange="x", exchange_type="topic"), 1) + f(Queue.Declare(queue="orders"), 1)),
        (S, f(Exchange.DeclareOk(), 1) + f(Queue.DeclareOk("orders", 0, 0), 1)),
        (C, f(Queue.Bind(queue="orders", exchange="x", routing_key="o.*"), 1) + f(Confirm.Select(), 1)),
        (S, f(Queue.BindOk(), 1) + f(Confirm.SelectOk(), 1)),
        (C, publish(key(1), exchange="x", routing_key="o.1") + publish(key(2), pieces=3) + publish(key(3), "nowhere")),
        (S, f(Basic.Ack(2, True), 1) + b"".join([f(Basic.Return(312, "NO_ROUTE", "", "nowhere"), 1)])),
        (C, f(heartbeat.Heartbeat(), 0) + publish(key(4), message_id=key(4), headers={"n": 1}) + publish("no key")),
        (S, f(Basic.Nack(4, False), 1) + f(Basic.Ack(5, False), 1) + f(heartbeat.Heartbeat(), 0)),
        (C, f(Channel.Close(200, "bye", 0, 0), 1)),
        (S, f(Channel.CloseOk(), 1)),
    ],
    "consumer": [
        *OPENING,
        (C, f(Basic.Qos(prefetch_count=10), 1) + f(Basic.Consume(queue="orders", consumer_tag="c"), 1)),
        (S, f(Basic.QosOk(), 1) + f(Basic.ConsumeOk("c"), 1)),
        (S, b"".join(deliver(key(number), number) for number in range(1, 7))),
        (C, f(Basic.Ack(2, True), 1) + f(Basic.Nack(3, False, True), 1) + f(Basic.Reject(4, False), 1)),
        (C, f(Basic.Get(queue="orders"), 1)),
        (S, f(Basic.GetEmpty(), 1) + f(Connection.Blocked("low on memory"), 0)),
        (C, f(Basic.Recover(True), 1)),
        (S, f(Basic.RecoverOk(), 1) + deliver(key(5), 7, redelivered=True)),
        (C, f(Basic.Cancel("c"), 1) + f(Basic.Ack(7), 1)),
        (S, f(Basic.CancelOk("c"), 1) + f(Channel.Close(406, "unknown tag", 60, 80), 1)),
        (C, f(Channel.CloseOk(), 1) + f(Connection.Close(200, "bye", 0, 0), 0)),
        (S, f(Connection.CloseOk(), 0)),
    ],
}

RESP = {
    "worker": [
        (C, cmd("HELLO", "3") + cmd("CLIENT", "SETNAME", "w") + MOVES[0]),
        (S, array(bulk("proto"), b":3\r\n", mark=b"%")[:1] + b"1\r\n" + bulk("proto") + b":3\r\n" + OK),
        (S, bulk(body(K1))),
        (C, cmd("LREM", "mine", "1", body(K1)) + MOVES[1]),
        (S, b":1\r\n" + bulk(body(K2))),
        (C, cmd("LMOVE", "mine", "jobs", "LEFT", "LEFT") + cmd("BRPOP", "jobs", "0") + cmd("LTRIM", "mine", "0", "-2")),
        (S, bulk(body(K2)) + array(bulk("jobs"), bulk(body(K2))) + OK),
        (C, cmd("LMPOP", "1", "jobs", "LEFT", "COUNT", "2") + cmd("BRPOP", "jobs", "1") + b"PING\r\n"),
        (S, array(bulk("jobs"), array(bulk(body(K3)), bulk(FOREIGN))) + NIL + b"+PONG\r\n"),
    ],
    "producer": [
        (C, cmd("MULTI") + cmd("LPUSH", "jobs", body(K1), body(K2)) + cmd("SET", "x", "1") + cmd("EXEC")),
        (S, OK + QUEUED + QUEUED + array(b":2\r\n", OK)),
        (C, cmd("RPUSH", "jobs", "no key") + cmd("LPUSH", "events", body(K3)) + cmd("EVAL", "return 1", "1", "jobs")),
        (S, b":3\r\n" + b"-OOM no memory\r\n" + b":1\r\n"),
        (C, cmd("SUBSCRIBE", "a", "b") + cmd("UNSUBSCRIBE")),
        (S, array(bulk("subscribe"), bulk("a"), b":1\r\n") + array(bulk("subscribe"), bulk("b"), b":2\r\n")),
        (S, array(bulk("message"), bulk("a"), bulk("hi"))),
        (S, array(bulk("unsubscribe"), bulk("a"), b":1\r\n") + array(bulk("unsubscribe"), bulk("b"), b":0\r\n")),
        (C, cmd("DEL", "mine") + cmd("WATCH", "x") + cmd("MULTI") + cmd("LPUSH", "jobs", K3) + cmd("EXEC")),
        (S, b":1\r\n" + OK + OK + QUEUED + b"*-1\r\n"),
    ],
}


def request(line: str, text: str, *headers: str) -> bytes:
    head = [line, "Host: stub", f"Content-Length: {len(text)}", *headers, "", ""]
    return "\r\n".join(head).encode() + text.encode()


def charge(number: int, *headers: str) -> bytes:
    return request("POST /v1/charges HTTP/1.1", json.dumps({"order_id": key(number), "idem": f"i{number}"}), *headers)


HTTP = {
    "charges": [charge(1), charge(2), charge(1), charge(3, "Connection: close")],
    "pipelined": [charge(1) + charge(2) + request("GET /health HTTP/1.1", "") + request("PUT /other?x=1 HTTP/1.1", "")],
    "chunked": [
        b"POST /v1/charges HTTP/1.1\r\nHost: s\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
        b'1c\r\n{"order_id": "kabcd-000001"}\r\n0\r\n\r\n',
    ],
    "form": [
        request(
            "POST /v1/charges HTTP/1.1",
            "order_id=%22kabcd-000004%22",
            "Content-Type: application/x-www-form-urlencoded",
        )
    ],
    "old": [b'POST /v1/charges HTTP/1.0\r\nContent-Length: 28\r\n\r\n{"order_id": "kabcd-000001"}'],
}
