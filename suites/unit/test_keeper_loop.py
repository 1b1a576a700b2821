"""The keeper's loop and its long operations."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from chaosharness.keeper.instance import pause_s
from chaosharness.keeper.loop import Loop, Steps


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop(on_signal=lambda _: None)
    yield made
    signal.set_wakeup_fd(-1)
    made.close()


def test_timers_run_in_the_order_of_their_time(loop: Loop) -> None:
    seen: list[str] = []
    loop.later(0.02, loop.stop)
    loop.later(0.01, lambda: seen.append("third"))
    loop.later(0.0, lambda: seen.append("first"))
    loop.later(0.0, lambda: seen.append("second"))
    loop.run()
    assert seen == ["first", "second", "third"]


def test_two_long_operations_take_turns(loop: Loop) -> None:
    seen: list[object] = []

    def steps(name: str) -> Steps[str]:
        for number in range(2):
            seen.append(f"{name}{number}")
            yield 0.0
        return name

    def last(result: object) -> None:
        seen.append(result)
        loop.stop()

    loop.start(steps("a"), seen.append)
    loop.start(steps("b"), last)
    loop.run()
    assert seen == ["a0", "b0", "a1", "b1", "a", "b"]


def test_what_an_operation_raises_is_its_result(loop: Loop) -> None:
    seen: list[object] = []

    def steps() -> Steps[None]:
        yield 0.0
        raise ValueError("no")

    def last(result: object) -> None:
        seen.append(result)
        loop.stop()

    loop.start(steps(), last)
    loop.run()
    assert [repr(result) for result in seen] == ["ValueError('no')"]


def test_a_file_that_was_forgotten_in_the_same_round_is_not_called(loop: Loop) -> None:
    seen: list[str] = []
    ends = [os.pipe() for _ in range(2)]

    def call(name: str, other: int) -> None:
        seen.append(name)
        loop.forget(other)
        loop.stop()

    for (ours, theirs), (other, _) in zip(ends, reversed(ends), strict=True):
        os.write(theirs, b"x")
        loop.watch(ours, lambda ours=ours, other=other: call(str(ours), other))  # type: ignore[misc]
    loop.run()
    assert len(seen) == 1
    for pair in ends:
        loop.forget(pair[0])
        for fd in pair:
            os.close(fd)


def test_pauses_grow_and_are_bounded() -> None:
    assert [pause_s(repeats) for repeats in range(8)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
