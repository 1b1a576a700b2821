"""`ordered_by`: where the ordering key of a message stands, held to the messages that are to be published.

In: the flow's table, its workload. Out: the place, or None. To try it: suites/unit/test_flowfile_classes.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosharness.flowfile.message import filled
from chaosharness.flowfile.table import Table
from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Workload
from chaosharness.model.key import make_key

OF_A_MESSAGE = ("header:", "property:", "body:")


def read_order(table: Table, workload: Workload) -> str | None:
    """The declared place; problems are recorded."""
    place = table.place("ordered_by")
    if place is None:
        return None
    if not place.startswith(OF_A_MESSAGE):
        expected = "a place in the message that is published: header:NAME, property:NAME or body:json:$.a.b"
        table.wrong("ordered_by", expected)
        return place
    try:
        for problem in _problems(place, workload):
            table.problems.add(table.at("ordered_by"), problem)
    except BadInput:
        pass  # a template that is unknown: the workload's table says so
    keys, messages = workload.ordered_keys, workload.messages
    if keys and keys > messages // 2:
        where = (*table.at("workload"), "ordered_keys")
        table.problems.add(where, f"expected at most half of the {messages} messages, found {keys}: each key needs two")
    return place


def _problems(place: str, workload: Workload) -> Iterator[str]:
    """Of one message of each kind, under two keys."""
    numbers = {0: "the messages"} | {one.every - 1: f"those of the class {one.name}" for one in workload.classes}
    for number, what in numbers.items():
        found = [filled(workload, number, make_key("knone", other)).read(place) for other in (0, 1)]
        if found[0] is None:
            yield f"nothing stands at {place} in {what}; put it there, e.g. as {{ordered_key}} with ordered_keys = 10"
        elif found[0] != found[1]:
            yield (
                f"each message has an ordering key of its own at {place}: none could be compared with another; "
                "put {ordered_key} there, and ordered_keys = 10 into the workload"
            )
