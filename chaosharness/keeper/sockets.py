"""Where the TCP connections of some processes lead, and which of them has one, as /proc shows them.

Goes in: process ids. Comes out: remote addresses of the connections that they opened themselves; the owners of the one
with a given local address. Linux only.
To try it: `suites/conformance/test_keeper_sockets.py`.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterable, Sequence

from chaosharness.model.address import Address

_ESTABLISHED, _SYN_SENT, _LISTEN = "01", "02", "0A"
_INODE = re.compile(r"socket:\[(\d+)\]")


def inodes(pid: int) -> set[str]:
    """The sockets that a process has open; empty for one that is gone."""
    found = set()
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except (FileNotFoundError, ProcessLookupError):
        return set()
    for name in names:
        try:
            match = _INODE.fullmatch(os.readlink(f"/proc/{pid}/fd/{name}"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if match:
            found.add(match[1])
    return found


def parse_address(text: str) -> Address:
    """`0100007F:1F90` (32-bit words in the machine's byte order) to an address; v4 mapped into v6 comes out as v4."""
    host, _, port = text.partition(":")
    raw = bytes.fromhex(host)
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    if len(raw) == 16 and raw.startswith(b"\0" * 10 + b"\xff\xff"):
        raw = raw[12:]
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return Address(socket.inet_ntop(family, raw), int(port, 16))


def _rows(pid: int) -> Iterable[list[str]]:
    """The TCP table of the process's own network namespace: local, remote, state, …, inode."""
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{name}", encoding="ascii") as table:
                yield from (line.split() for line in table.readlines()[1:])
        except (FileNotFoundError, ProcessLookupError, OSError):
            continue  # gone, or no IPv6 here


def format_address(address: Address, mapped: bool = False) -> str:
    """The inverse of `parse_address`, for an IPv4 address; `mapped`: as the table of version 6 has it."""
    raw = socket.inet_pton(socket.AF_INET, address.host)
    if mapped:
        raw = b"\0" * 10 + b"\xff\xff" + raw
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    return f"{raw.hex().upper()}:{address.port:04X}"


def owners(pids: Iterable[int], local: Address) -> tuple[int, ...]:
    """Which of these processes have the established connection open whose own end is `local`: several where a
    descriptor was inherited. Raises PermissionError."""
    found = []
    for pid in pids:
        if mine := inodes(pid):
            rows = (row for row in _rows(pid) if row[3] == _ESTABLISHED and row[9] in mine)
            if any(parse_address(row[1]) == local for row in rows):
                found.append(pid)
    return tuple(sorted(found))


def remotes(pids: Iterable[int]) -> tuple[Address, ...]:
    """Remote ends of the connections (established, or being established) that these processes opened, sorted.

    A connection on a port that one of them listens on was opened by the other side: left out.
    """
    owned: dict[str, tuple[set[str], int]] = {}
    for pid in pids:
        found = inodes(pid)
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/net")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if namespace in owned:
            owned[namespace][0].update(found)
        else:
            owned[namespace] = (found, pid)
    result: set[Address] = set()
    for mine, witness in owned.values():
        result.update(opened(row for row in _rows(witness) if row[9] in mine))
    return tuple(sorted(result))


def remotes_in_namespace(pid: int) -> tuple[Address, ...]:
    """The same for every process of the network namespace that `pid` is in."""
    return opened(_rows(pid))


def opened(rows: Iterable[Sequence[str]]) -> tuple[Address, ...]:
    """Of rows of a TCP table, split into fields: the remote ends of connections that were opened from here, sorted."""
    rows = [row for row in rows if len(row) > 3]
    listening = {parse_address(row[1]).port for row in rows if row[3] == _LISTEN}
    found = {
        parse_address(row[2])
        for row in rows
        if row[3] in (_ESTABLISHED, _SYN_SENT) and parse_address(row[1]).port not in listening
    }
    return tuple(sorted(found))
