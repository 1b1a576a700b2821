"""When no living process can have a message any more: told by literal histories."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from histories import history
from spine import C

from chaosharness.scenario.observer import Observer

FIRST = f"""
started instance=payment.0 pid=100 incarnation=1
connect @{C}#1
deliver k1 @{C}#1
"""
ORPHANED = """
exited instance=payment.0 pid=100 incarnation=1 code=-9 asked=true gone=false
started instance=payment.0 pid=110 incarnation=2
"""
ORPHANS_END = "exited instance=payment.0 pid=100 incarnation=1 code=-9 asked=true gone=true"
SECOND_ENDS = "exited instance=payment.0 pid=110 incarnation=2 code=0 asked=true gone=true"


@pytest.fixture
def observer(tmp_path: Path) -> Iterator[Observer]:
    with closing(Observer(tmp_path)) as found:
        yield found


def gone(observer: Observer, text: str, key: str = "k1") -> bool:
    for event in history(text).events:
        observer._take(event)
    return observer.gone_for_good(key)


def test_it_lives_as_long_as_its_process_does(observer: Observer) -> None:
    assert not gone(observer, FIRST)


def test_it_is_gone_with_the_last_process(observer: Observer) -> None:
    assert gone(observer, FIRST + ORPHANS_END)


def test_an_orphan_may_still_have_it(observer: Observer) -> None:
    assert not gone(observer, FIRST + ORPHANED)


def test_what_the_next_ones_have_is_not_gone_with_the_orphans(observer: Observer) -> None:
    assert not gone(observer, f"{FIRST}{ORPHANED}connect @{C}#4\ndeliver k2 @{C}#4\n{ORPHANS_END}", "k2")


def test_all_is_gone_when_both_have_ended(observer: Observer) -> None:
    assert gone(observer, f"{FIRST}{ORPHANED}connect @{C}#4\ndeliver k2 @{C}#4\n{ORPHANS_END}\n{SECOND_ENDS}", "k2")
    assert observer.gone_for_good("k1")
