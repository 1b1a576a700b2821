"""Message keys: made before the first send, found again by their shape wherever they travel.

A key is `NONCE-NUMBER` (`k7f3q-000117`): the nonce is the scenario's own, the number counts its messages from 0.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

NONCE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without i, l, o, 0 and 1, so that a key read aloud or retyped stays the same key."""


def new_nonce(rng: random.Random) -> str:
    """`k` and four letters or digits; about a million nonces."""
    return "k" + "".join(rng.choice(NONCE_LETTERS) for _ in range(4))


def make_key(nonce: str, number: int) -> str:
    """The key of the scenario's message `number` (0 to 999999)."""
    return f"{nonce}-{number:06d}"


def key_number(key: str) -> int:
    """The number in a key. Raises ValueError."""
    return int(key.rpartition("-")[2])


PLACES = ("header:NAME", "property:NAME", "body:json:$.a.b", "query:NAME", "path:/orders/{key}")


@dataclass(frozen=True, slots=True)
class Place:
    """A declared place of a key or an idempotency key: `header:Name`, `body:json:$.a.b`, …"""

    text: str

    def problem(self) -> str | None:
        """What is wrong with it, or None."""
        kind, colon, rest = self.text.partition(":")
        if not colon or not rest or kind not in ("header", "property", "body", "query", "path"):
            return f"expected one of {', '.join(PLACES)}"
        if kind == "body" and not re.fullmatch(r"json:\$(\.[A-Za-z_][\w-]*|\[\d+\])+", rest):
            return "expected body:json:$.name.name (names and [index] only)"
        if kind == "path" and rest.count("{key}") != 1:
            return "expected one {key} in the path"
        return None

    def read(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        body: bytes = b"",
        path: str = "",
        query: Mapping[str, str] | None = None,
    ) -> str | None:
        """What stands at the place, or None. Header names are compared without case."""
        kind, _, rest = self.text.partition(":")
        if kind == "header":
            wanted = rest.lower()
            return next((v for k, v in (headers or {}).items() if k.lower() == wanted), None)
        if kind == "property":
            return (properties or {}).get(rest)
        if kind == "query":
            return (query or {}).get(rest)
        if kind == "path":
            before, _, after = rest.partition("{key}")
            found = re.fullmatch(re.escape(before) + r"([^/]+)" + re.escape(after), path)
            return found.group(1) if found else None
        return _read_json(body, rest.removeprefix("json:$"))


def _read_json(body: bytes, steps: str) -> str | None:
    try:
        value = json.loads(body)
        for name, index in re.findall(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]", steps):
            value = value[name] if name else value[int(index)]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    if not isinstance(value, str | int):
        return None
    return str(value).encode("utf-8", "backslashreplace").decode()  # JSON can say half a surrogate pair, UTF-8 cannot


def _keys_of(*nonces: str) -> re.Pattern[bytes]:
    """Keys of these nonces that stand alone: no letter or digit before or behind.

    What comes before is looked at behind the nonces' common start: a pattern that begins with fixed letters is searched
    for twenty times as fast, and every message that passes a tap is searched.
    """
    start = os.path.commonprefix(nonces)  # noqa: RUF071 - of strings, and letter by letter
    rests = "|".join(nonce.removeprefix(start) for nonce in nonces)
    return re.compile(rf"{start}(?<![a-z0-9]{start})(?:{rests})-\d{{6}}(?![a-z0-9])".encode())


class KeyFinder:
    """Finds keys of one scenario by their shape in bytes, and keys of others that have no business there."""

    def __init__(self, nonce: str, others: tuple[str, ...] = (), place: Place | None = None) -> None:
        """`others`: nonces of earlier scenarios of this run; `place`: look there alone."""
        self.nonce = nonce
        self.place = place
        self._own = _keys_of(nonce)
        self._foreign = _keys_of(*others) if others else None

    def find(self, *places: bytes) -> str | None:
        """The first own key in the first of `places` that has one."""
        for place in places:
            found = self._own.search(place)
            if found:
                return found.group().decode()
        return None

    def foreign(self, *places: bytes) -> str | None:
        """A key of another scenario of this run, if one stands here."""
        if self._foreign:
            for place in places:
                found = self._foreign.search(place)
                if found:
                    return found.group().decode()
        return None
