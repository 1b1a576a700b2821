"""What one channel has open: publishes not confirmed, deliveries not settled, consumers, unanswered questions."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tagged:
    """One publish or delivery, by its number; `key` is None unless it is the source's and has one."""

    tag: int
    key: str | None
    returned: bool = False


class Outstanding:
    """Numbers that rise, each acknowledged once: alone, or with all before it."""

    def __init__(self) -> None:
        self._open: dict[int, Tagged] = {}

    def add(self, tag: int, key: str | None) -> None:
        self._open[tag] = Tagged(tag, key)

    def take(self, tag: int, multiple: bool) -> list[Tagged]:
        """Those that an acknowledgement covers, in order; then closed. Tag 0 with `multiple` is all of them."""
        if not multiple:
            one = self._open.pop(tag, None)
            return [one] if one else []
        covered = []
        for each in self._open.values():
            if tag and each.tag > tag:
                break
            covered.append(each)
        for each in covered:
            del self._open[each.tag]
        return covered

    def returned(self, key: str) -> None:
        """Marks the oldest open publish of the key: its confirm will not mean that the broker has it."""
        for each in self._open.values():
            if each.key == key and not each.returned:
                each.returned = True
                return


@dataclass(slots=True)
class Subscription:
    """One consumer, or one basic.get on its way."""

    queue: str
    source: bool
    auto_ack: bool
    tag: str = ""


@dataclass(slots=True)
class Channel:
    """One channel from its open to its close."""

    confirms: bool = False
    tx: bool = False
    prefetch: int | None = None
    """None until a qos was seen; 0 = unlimited."""
    last_queue: str = ""
    """The queue that an empty name stands for (queue.declare, rule of the specification)."""
    published: int = 0
    unconfirmed: Outstanding = field(default_factory=Outstanding)
    unsettled: Outstanding = field(default_factory=Outstanding)
    consumers: dict[str, Subscription] = field(default_factory=dict)
    consumes: deque[Subscription] = field(default_factory=deque)
    """Asked, not yet answered; answers come in order, and bring the tag where the client sent none."""
    gets: deque[Subscription] = field(default_factory=deque)
    deaf: bool = False
    """The server has closed it and throws away what the client sends, up to close-ok."""


def keys_of(covered: Sequence[Tagged]) -> tuple[str, ...]:
    """The keys of the source's own messages among them, each once, in order."""
    if len(covered) == 1:  # nearly always
        (one,) = covered
        return () if one.key is None or one.returned else (one.key,)
    return tuple(dict.fromkeys([each.key for each in covered if each.key is not None and not each.returned]))
