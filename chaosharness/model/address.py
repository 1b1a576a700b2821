"""Where something listens, and which stretch of wire a link is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A TCP endpoint."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """`host:port` to an address. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdigit():
            raise ValueError(f"not host:port: {text!r}")
        return cls(host, int(port))


@dataclass(frozen=True, slots=True, order=True)
class LinkId:
    """One replica's way to one node of one server: the smallest thing that can be cut off alone.

    `server` is what is reached: `broker`, `effect.NAME` or `store.NAME`. Written `payment.0>broker.0`.
    """

    service: str
    replica: int
    server: str
    node: int = 0

    def __str__(self) -> str:
        return f"{self.service}.{self.replica}>{self.server}.{self.node}"

    @classmethod
    def parse(cls, text: str) -> LinkId:
        """The inverse of `str`. Raises ValueError."""
        left, arrow, right = text.partition(">")
        service, dot, replica = left.rpartition(".")
        server, dot2, node = right.rpartition(".")
        if not (arrow and dot and dot2 and replica.isdigit() and node.isdigit()):
            raise ValueError(f"not a link id: {text!r}")
        return cls(service, int(replica), server, int(node))


HARNESS = "harness"
"""The service name of the harness's own producer, reader and republisher, so that they have links of their own."""
BROKER = "broker"
"""`LinkId.server` of a link to the flow's broker."""
EFFECT = "effect."
"""`LinkId.server` of a link to a sink begins so; the sink's name follows."""
STORE = "store."
"""`LinkId.server` of a link to a store begins so; the store's name follows."""
