"""A container's standard streams with a driver: lines in, answers out, over restarts, and whatever else is written."""

from __future__ import annotations

import fcntl
import os
import select
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker_rig import DockerRig, log_of, rigged, until, wait_line

from chaosharness.ports.launch import Signal
from chaosharness.ports.plugin import Message, Outcome
from chaosharness.scenario.senders import LineSender
from chaosharness.servers.docker.instance import DockerInstance
from chaosharness.servers.docker.launcher import DockerLauncher

ANSWERS = """
import json, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", file=sys.stderr)
for line in sys.stdin:
    key = json.loads(line)["key"]
    print(json.dumps({"key": key, "outcome": "ok"}), flush=True)
print("end of file", file=sys.stderr)
"""
ONE_BY_ONE = """
import os, sys
print("up", file=sys.stderr)
line = b""
while not line.endswith(b"\\n"): line += os.read(0, 1)
print("got", line.decode().strip(), file=sys.stderr)
raise SystemExit(4)
"""
"""Reads one line, byte by byte, and ends."""
NOISE = """
import os
os.write(1, bytes(range(256)) * 400 + b"\\n")
os.write(2, b"half a li")
os.write(1, b'{"key": "a", "outcome": "ok"}\\n{"key": "b", "out')
os.write(2, b"ne\\n\\xff\\xfe\\n")
os.write(1, b'come": "fail"}\\nthe last has no end')
"""


@pytest.fixture
def rig(docker_launcher: DockerLauncher, tmp_path: Path) -> Iterator[DockerRig]:
    with rigged(docker_launcher, tmp_path) as found:
        yield found


@pytest.fixture
def lines() -> LineSender:
    return LineSender()


def driven(rig: DockerRig, lines: LineSender, script: str, **settings: str) -> DockerInstance:
    try:
        return rig.launch("a", script, stdio=lines.stdio, **settings)
    finally:
        lines.handed_over()


def end(instance: DockerInstance, lines: LineSender) -> None:
    instance.stop(5)
    lines.close()
    assert not lines._reader.is_alive()


def send(lines: LineSender, *keys: str) -> None:
    for key in keys:
        lines.send(Message(key, b"{}"))


def answers(lines: LineSender, count: int) -> dict[str, Outcome]:
    """What came for that many keys."""
    found: dict[str, Outcome] = {}

    def all_there() -> bool:
        found.update({one.key: one.outcome for one in lines.completions(0.05)})
        return len(found) >= count

    until(f"{count} answers", all_there)
    return found


def test_many_lines_at_once_are_all_answered(rig: DockerRig, lines: LineSender) -> None:
    instance = driven(rig, lines, ANSWERS)
    keys = [f"k{number:05}" + "x" * 100 for number in range(5000)]  # more than any pipe holds
    sender = threading.Thread(target=send, args=(lines, *keys))
    sender.start()
    assert answers(lines, len(keys)) == dict.fromkeys(keys, Outcome.OK)
    sender.join()
    end(instance, lines)
    assert lines.noise == []
    assert log_of(instance) == ["up"]  # answers are the driver's alone


def test_a_line_longer_than_a_pipe(rig: DockerRig, lines: LineSender) -> None:
    instance = driven(rig, lines, ANSWERS)
    key = "k" * 300_000
    sender = threading.Thread(target=send, args=(lines, key))
    sender.start()
    assert answers(lines, 1) == {key: Outcome.OK}
    sender.join()
    end(instance, lines)


def test_lines_wait_for_the_next_incarnation(rig: DockerRig, lines: LineSender) -> None:
    instance = driven(rig, lines, ANSWERS)
    send(lines, "a")
    assert answers(lines, 1) == {"a": Outcome.OK}
    assert instance.signal(Signal.KILL).ok
    send(lines, "b", "c")
    assert instance.restart().ok
    assert answers(lines, 2) == {"b": Outcome.OK, "c": Outcome.OK}
    assert instance.signal(Signal.KILL).ok
    send(lines, "d")
    assert instance.restart(keep_data=False).ok
    assert answers(lines, 1) == {"d": Outcome.OK}
    end(instance, lines)


def test_each_incarnation_of_a_supervisor_has_its_line(rig: DockerRig, lines: LineSender) -> None:
    instance = driven(rig, lines, ONE_BY_ONE, restart="always")
    for number in range(1, 4):
        wait_line(instance, "up", times=number)
        until("the one before to be over", lambda number=number: len(instance.exits()) == number - 1)  # type: ignore[misc]
        send(lines, f"k{number}")
        wait_line(instance, f'got {{"key": "k{number}"')
    end(instance, lines)


def test_end_of_file(rig: DockerRig, lines: LineSender) -> None:
    instance = driven(rig, lines, ANSWERS)
    send(lines, "a")
    assert answers(lines, 1) == {"a": Outcome.OK}
    os.close(lines._to)
    wait_line(instance, "end of file")
    until("its end", lambda: not instance.alive())
    assert instance.exits() == (0,)
    lines._to = os.open(os.devnull, os.O_WRONLY)  # for `close`
    end(instance, lines)


def test_end_of_file_is_there_for_the_next_too(rig: DockerRig, lines: LineSender) -> None:
    instance = driven(rig, lines, ANSWERS, restart="always")
    os.close(lines._to)
    wait_line(instance, "end of file", times=2)
    lines._to = os.open(os.devnull, os.O_WRONLY)
    end(instance, lines)


def test_noise_is_told_from_answers(rig: DockerRig, lines: LineSender) -> None:
    instance = driven(rig, lines, NOISE.replace("import os", "import os\nos.read(0, 1)"))
    send(lines, "a", "b")
    assert answers(lines, 2) == {"a": Outcome.OK, "b": Outcome.FAIL}
    until("its end", lambda: not instance.alive())
    end(instance, lines)
    assert lines.noise[-1] == "the last has no end"
    assert len(lines.noise) == 400 * 1 + 2  # each newline among the bytes ends a line
    assert log_of(instance) == ["half a line", "��"]


def test_without_a_driver_input_is_empty(rig: DockerRig) -> None:
    instance = rig.launch("a", "import sys; print(repr(sys.stdin.read()))")
    until("its end", lambda: not instance.alive())
    assert log_of(instance) == ["''"]


@pytest.mark.parametrize("gone", [False, True])
def test_a_driver_that_does_not_read_holds_nobody_up(rig: DockerRig, gone: bool) -> None:
    """The service blocks, as on a pipe; its end does not."""
    their_in, to = os.pipe()
    source, their_out = os.pipe()
    instance = rig.launch(
        "a", 'import os; os.write(2, b"up\\n")\nwhile True: os.write(1, bytes(65536))', stdio=(their_in, their_out)
    )
    os.close(their_in)
    os.close(their_out)
    if gone:
        os.close(source)
    wait_line(instance, "up")
    assert instance.stop(0.2).ok
    until("threads to end", lambda: not [thread for thread in rig.threads() if "put of" in thread])
    os.close(to)
    if not gone:
        os.close(source)


def test_a_driver_that_reads_late_gets_all(rig: DockerRig) -> None:
    their_in, to = os.pipe()
    source, their_out = os.pipe()
    rig.launch("a", "for number in range(50_000): print(number)", stdio=(their_in, their_out))
    os.close(their_in)
    os.close(their_out)
    looks = 0

    def full_for_long() -> bool:
        nonlocal looks
        waiting = fcntl.ioctl(source, termios.FIONREAD, bytes(4))
        looks = looks + 1 if int.from_bytes(waiting, "little") > 50_000 else 0
        return looks > 20  # of 20 ms

    until("the driver's pipe to be full for some time", full_for_long)
    expected = "".join(f"{number}\n" for number in range(50_000)).encode()
    came = bytearray()

    def all_there() -> bool:
        if select.select([source], [], [], 0)[0]:
            came.extend(os.read(source, 65536))
        return len(came) >= len(expected)

    until("all that was written", all_there)
    assert came == expected
    rig.instances[0].stop(0)
    os.close(to)
    os.close(source)


def test_a_service_that_does_not_read_holds_nobody_up(rig: DockerRig) -> None:
    their_in, to = os.pipe()
    source, their_out = os.pipe()
    instance = rig.launch("a", "import signal; signal.pause()", stdio=(their_in, their_out))
    os.close(their_in)
    os.close(their_out)
    os.set_blocking(to, False)

    def full() -> bool:
        try:
            return os.write(to, bytes(65536)) == 0
        except BlockingIOError:
            return True

    until("the driver's pipe to be full", full)
    assert instance.stop(0.2).ok
    assert not [thread for thread in rig.threads() if "put of" in thread]
    os.close(to)
    os.close(source)


def test_a_service_that_speaks_at_once_is_heard_whole(rig: DockerRig) -> None:
    """Attached before the start: no first byte is missed, and no last one."""
    script = "print('first'); print('x' * 200_000); print('last')"
    instances = [rig.launch(f"a{number}", script, command=("python3", "/service.py")) for number in range(3)]
    for instance in instances:
        until("its end", lambda instance=instance: not instance.alive())  # type: ignore[misc]
        said = log_of(instance)
        assert (said[0], said[-1], sum(map(len, said))) == ("first", "last", 200_009)
