"""The HTTP sink's part in the relay: serves requests by h11, applies effects, and stops at gates before and after.

Applied means: this process decided so, in one step of its loop, and wrote it down before it answered. A request whose
connection is gone before that step is thrown away and recorded as `discarded`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_to_bytes, urlsplit

import h11

from chaosharness.model.event import Kind, Sighting
from chaosharness.model.gate import Point
from chaosharness.model.key import KeyFinder, Place
from chaosharness.ports.wire import StubControl
from chaosharness.sinks.misbehaviour import NO_ANSWER, RETRY_AFTER, Misbehaviour

MAX_BODY = 64 << 20
FORM = "application/x-www-form-urlencoded"
LINGER_S = 2.0
"""How long a client whose request was rejected may go on sending; what it sends is thrown away."""
UNREAD_BYTES = 1 << 20
"""What a client may send behind a request that is not answered yet; then it is not read."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class HttpStub:
    """State shared by every connection: what was applied under which idempotency key."""

    def __init__(self, options: Mapping[str, Any], finder: KeyFinder) -> None:
        """`options`: those of `HttpSink.stub_options`."""
        self.sink = str(options["sink"])
        self.finder = finder
        self.key_place = Place(options["key"]) if options.get("key") else None
        self.idempotent_by = Place(options["idempotent_by"]) if options.get("idempotent_by") else None
        self.status = int(options["status"])
        self.body = str(options["body"]).encode()
        self._method = options.get("method")
        path = options.get("path")
        self._path = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))) if path else None
        self.misbehaviour = Misbehaviour()
        self._applied: dict[str, bytes] = {}
        self._numbers = itertools.count(1)

    def connection(self, link: str, control: StubControl) -> asyncio.BaseProtocol:
        return HttpConnection(self, link, control)

    def control(self, control: Mapping[str, Any]) -> Mapping[str, Any]:
        """ports.wire.ControlledStub: `sinks.misbehaviour` says what it knows."""
        return self.misbehaviour.tell(control)

    def is_effect(self, request: Request) -> bool:
        """Whether the request is the declared effect."""
        if self._method is None or self._path is None:
            return request.method not in SAFE
        return request.method == self._method and self._path.fullmatch(request.path) is not None

    def declared(self) -> str:
        return f"{self._method} {self._path.pattern if self._path else ''}"

    def key_of(self, request: Request) -> str | None:
        """The message key that the request carries."""
        if self.key_place:
            found = request.read(self.key_place)
            return self.finder.find(found.encode()) if found else None
        return self.finder.find(*request.texts())

    def apply(self, request: Request, key: str, idempotency_key: str | None) -> tuple[Sighting, int, bytes]:
        """Decides what the request does: an effect, a replay, or a clash. Returns what to record and to answer."""
        data: dict[str, Any] = {"sink": self.sink}
        if idempotency_key is not None:
            data["idempotency_key"] = idempotency_key
        if self.status >= 400:
            return self.refused(key, self.status), self.status, self.body
        if self.idempotent_by and idempotency_key is not None:
            print_of_body = hashlib.sha256(request.method.encode() + request.target.encode() + request.body).digest()
            earlier = self._applied.get(idempotency_key)
            if earlier == print_of_body:
                return Sighting(Kind.REPLAY, (key,), data), self.status, self.body
            if earlier is None:
                self._applied[idempotency_key] = print_of_body
            else:
                clash = json.dumps({"error": "idempotency key reused with another body"}).encode()
                return Sighting(Kind.KEY_REUSED, (key,), data), 409, clash
        data["effect"] = f"{self.sink}#{next(self._numbers)}"
        return Sighting(Kind.EFFECT, (key,), data), self.status, self.body

    def refused(self, key: str, status: int) -> Sighting:
        """Nothing was applied."""
        return Sighting(Kind.REFUSED, (key,), {"sink": self.sink, "status": status})


class Request:
    """One request, read whole."""

    def __init__(self, head: h11.Request, body: bytes) -> None:
        self.method = head.method.decode("ascii")
        self.target = head.target.decode("ascii", "replace")
        url = urlsplit(self.target)
        self.path = unquote(url.path)
        self.query = dict(parse_qsl(url.query))
        self.raw_headers = [bytes(value) for _, value in head.headers]
        self.headers = {bytes(n).decode("ascii"): bytes(v).decode("latin-1") for n, v in head.headers}
        self.body = body

    def texts(self) -> Sequence[bytes]:
        """Wherever a key can be found by its shape. `%22` before a key would hide it: escapes are undone."""
        body = unquote_to_bytes(self.body) if FORM in self.headers.get("content-type", "") else self.body
        return unquote_to_bytes(self.target), *self.raw_headers, body

    def read(self, place: Place) -> str | None:
        return place.read(headers=self.headers, body=self.body, path=self.path, query=self.query)


class HttpConnection(asyncio.Protocol):
    """One client connection: requests one after the other."""

    def __init__(self, stub: HttpStub, link: str, control: StubControl) -> None:
        self._stub = stub
        self._link = link
        self._control = control
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
        self._transport: asyncio.Transport | None = None
        self._conn = 0
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._rejected: asyncio.TimerHandle | None = None
        self._unread = 0
        """Bytes that came behind the request that is being answered."""
        self._pauses: set[str] = set()
        """Why the client is not read now."""
        self._unanswered: asyncio.Future[None] | None = None
        """Done when the request that gets no answer is given up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._conn = self._control.opened(self._link, transport)

    def data_received(self, data: bytes) -> None:
        if self._rejected:
            return
        self._http.receive_data(data)
        if self._task:
            self._unread += len(data)
            self._flow("unread", pause=self._unread > UNREAD_BYTES)
        self._read_on()

    def pause_writing(self) -> None:
        """The client does not read its answers: it is not read either."""
        self._flow("full", pause=True)

    def resume_writing(self) -> None:
        self._flow("full", pause=False)

    def _flow(self, why: str, *, pause: bool) -> None:
        (self._pauses.add if pause else self._pauses.discard)(why)
        if self._transport and not self._transport.is_closing():
            if self._pauses and not self._rejected:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def eof_received(self) -> None:
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rejected:
            self._rejected.cancel()
        self._gone()

    def _gone(self) -> None:
        self._control.gone(self._link, self._conn)
        if self._unanswered and not self._unanswered.done():
            self._unanswered.set_result(None)

    def _read_on(self) -> None:
        """Takes complete events until a request is whole or more bytes are needed."""
        try:
            while self._task is None:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    self._unread = 0
                    self._flow("unread", pause=False)
                if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                    return
                if isinstance(event, h11.Request):
                    self._head = event
                    if event.method == b"CONNECT":  # what follows would be no HTTP
                        raise h11.RemoteProtocolError("CONNECT: the sink is no proxy", error_status_hint=405)
                    self._body.clear()
                    if self._http.they_are_waiting_for_100_continue:
                        self._write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                elif isinstance(event, h11.Data):
                    self._body += event.data
                    if len(self._body) > MAX_BODY:
                        raise h11.RemoteProtocolError(f"body of more than {MAX_BODY} bytes", error_status_hint=413)
                elif isinstance(event, h11.EndOfMessage) and self._head:
                    self._task = asyncio.get_running_loop().create_task(
                        self._answer(Request(self._head, bytes(self._body)))
                    )
        except (h11.RemoteProtocolError, ValueError) as bad:
            self._reject(bad)

    def _reject(self, bad: Exception) -> None:
        """Answers, and goes on reading for a while: to close with bytes unread would reset the answer away."""
        status = getattr(bad, "error_status_hint", 400)
        unparsed = Sighting(Kind.UNPARSED, (), {"reason": f"not an HTTP request that can be read: {bad}"})
        self._control.record([unparsed], self._link, self._conn)
        method = self._head.method.decode("ascii") if self._head else ""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._write(self._render(status, json.dumps({"error": str(bad)}).encode(), method, close=True))
        if self._transport and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # it was reset in the meantime
                self._transport.write_eof()
            self._rejected = asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)
            self._flow("unread", pause=False)

    async def _answer(self, request: Request) -> None:
        status, body, key = await self._handle(request)
        data = b"" if status is None else self._render(status, body, request.method)
        if status is not None and key is not None:
            if await self._control.pass_gate(Point.RESPONSE, key, self._link, self._conn, len(data)):
                self._record(Sighting(Kind.RESPONSE, (key,), {"sink": self._stub.sink, "status": status}))
            else:
                status = None
        self._task = self._head = None
        if status is None or self._transport is None or self._transport.is_closing():
            return
        self._write(data)
        if self._http.our_state is h11.MUST_CLOSE:
            self._transport.close()
        elif self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
            self._read_on()

    async def _handle(self, request: Request) -> tuple[int | None, bytes, str | None]:
        """The life of one request: status, body, and its key where it was the effect's.

        A status of None: nobody is there to be answered, or nobody is to be.
        """
        stub, record = self._stub, self._record
        key = stub.key_of(request)
        said = {"sink": stub.sink, "method": request.method, "target": request.target}
        if not stub.is_effect(request):
            if request.method in SAFE:
                return 200, b"{}", None
            record(
                Sighting(
                    Kind.ASIDE, (key,) if key else (), {"what": "request", "to": f"{request.method} {request.path}"}
                )
            )
            no_effect = f"{request.method} {request.path} is not the declared effect ({stub.declared()})"
            return 404, json.dumps({"error": f"chaosharness: {no_effect}"}).encode(), None
        if key is None:
            foreign = stub.finder.foreign(*request.texts())
            if foreign:
                record(Sighting(Kind.FOREIGN_KEY, (), {"found": foreign}))
            place = stub.key_place.text if stub.key_place else "any place"
            what = f"request {request.method} {request.target}, none found in {place}"
            record(Sighting(Kind.UNKEYED, (), {"what": what, "place": place}))
            return stub.status, stub.body, None
        idempotency_key = request.read(stub.idempotent_by) if stub.idempotent_by else None
        record(Sighting(Kind.REQUEST, (key,), {**said, "idempotency_key": idempotency_key}))
        passed = await self._control.pass_gate(Point.REQUEST, key, self._link, self._conn, len(request.body))
        if not passed and not stub.misbehaviour.late(key):
            why = "its connection was gone before it was applied"
            record(Sighting(Kind.DISCARDED, (key,), {"sink": stub.sink, "why": why}))
            return None, b"", None
        refused = stub.misbehaviour.status(key)
        if refused == NO_ANSWER:
            await self._leave_unanswered(key)
            return None, b"", None
        if refused is not None:
            record(stub.refused(key, refused))
            return refused, json.dumps({"error": "chaosharness: refused"}).encode(), key
        sighting, status, body = stub.apply(request, key, idempotency_key)
        record(sighting)
        return status, body, key

    async def _leave_unanswered(self, key: str) -> None:
        """Until the sink is told that it is over, or the client has gone; then the connection is closed."""
        self._record(self._stub.refused(key, NO_ANSWER))
        self._unanswered = self._stub.misbehaviour.unanswered(key)
        await self._unanswered
        self._control.close(self._link, self._conn)

    def _record(self, sighting: Sighting) -> None:
        self._control.record([sighting], self._link, self._conn)

    def _render(self, status: int, body: bytes, method: str, close: bool = False) -> bytes:
        """The answer as it stands on the wire."""
        if status in (204, 304):  # RFC 9110, 6.4.1: these have no content
            body = b""
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))] if body else []
        if status in RETRY_AFTER:
            headers.append(("retry-after", RETRY_AFTER[status]))
        if close:
            headers.append(("connection", "close"))
        content = [] if method == "HEAD" else [h11.Data(data=body)]  # RFC 9110, 9.3.2: the fields of a GET
        events = (h11.Response(status_code=status, headers=headers), *content, h11.EndOfMessage())
        return b"".join(self._http.send(event) or b"" for event in events)

    def _write(self, data: bytes) -> None:
        if data and self._transport and not self._transport.is_closing():
            self._transport.write(data)
