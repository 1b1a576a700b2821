"""The ledger: what was appended is read back, and what is missing is said."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaosharness.ledger import writer
from chaosharness.ledger.reader import Follower, merge, read
from chaosharness.ledger.writer import Ledger
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind, Sighting


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "relay")
    before_ns = time.monotonic_ns()
    numbers = [
        ledger.append(Kind.DELIVER, ["kabcd-000001"], link="payment.0>broker.0", conn=3, data={"redelivered": False}),
        ledger.append(Kind.NOTE, data={"text": "a\nb"}),
    ]
    ledger.append_all(
        [Sighting(Kind.SETTLE, ("kabcd-000001",), {"how": "ack"}), Sighting(Kind.UNBLOCKED)], link="l", conn=0
    )
    ledger.end()
    events, gaps = read(ledger.path)
    assert numbers == [1, 2]
    assert [(e.seq, e.origin, e.kind, e.keys, e.link, e.conn, e.data) for e in events] == [
        (1, "relay", Kind.DELIVER, ("kabcd-000001",), "payment.0>broker.0", 3, {"redelivered": False}),
        (2, "relay", Kind.NOTE, (), None, None, {"text": "a\nb"}),
        (3, "relay", Kind.SETTLE, ("kabcd-000001",), "l", 0, {"how": "ack"}),
        (4, "relay", Kind.UNBLOCKED, (), "l", 0, {}),
        (5, "relay", Kind.END, (), None, None, {}),
    ]
    stamps = [before_ns, *(e.at_ns for e in events), time.monotonic_ns()]
    assert stamps == sorted(stamps)
    assert gaps == []


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path, "relay"), Ledger(tmp_path, "harness")
    for n, ledger in enumerate([one, two, two, one, two]):
        ledger.append(Kind.NOTE, data={"text": str(n)})
    one.end()
    two.end()
    history = merge(tmp_path)
    assert [e.data["text"] for e in history if e.kind is Kind.NOTE] == list("01234")
    assert history.gaps == ()


def test_a_torn_last_line_is_a_gap_and_all_before_it_is_kept(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "relay")
    ledger.append(Kind.NOTE, data={"text": "kept"})
    os.write(ledger._fd, b'{"seq":2,"at_ns":1,"ki')
    ledger.abandon()
    events, gaps = read(ledger.path)
    assert [e.data["text"] for e in events] == ["kept"]
    assert gaps == [
        "relay.ledger.jsonl: the last line is torn (22 bytes after event 1)",
        "relay.ledger.jsonl: not closed by its writer after event 1",
    ]


def test_a_missing_line_is_a_gap(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "relay")
    for n in range(3):
        ledger.append(Kind.NOTE, data={"text": str(n)})
    ledger.end()
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:2] + lines[3:]))
    events, gaps = read(ledger.path)
    assert len(events) == 3
    assert gaps == ["relay.ledger.jsonl: event 1 is followed by 3"]


@pytest.mark.parametrize(
    "garbage", [b"\xff\xfe\n", b"[]\n", b'{"seq":"x"}\n', b'{"seq":1,"at_ns":1,"kind":"nonsense"}\n']
)
def test_an_unreadable_line_is_a_gap_and_nothing_raises(tmp_path: Path, garbage: bytes) -> None:
    ledger = Ledger(tmp_path, "relay")
    os.write(ledger._fd, garbage)
    ledger.append(Kind.NOTE, data={"text": "after"})
    ledger.end()
    events, gaps = read(ledger.path)
    assert events[0].data["text"] == "after"
    assert len(gaps) == 1
    assert "unreadable line after event 0" in gaps[0]


def test_different_clocks_are_not_merged(tmp_path: Path) -> None:
    for origin in ("relay", "harness"):
        Ledger(tmp_path, origin).end()
    path = tmp_path / "relay.ledger.jsonl"
    header, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(header), "clock": "another boot"}), *rest]) + "\n")
    with pytest.raises(HarnessBroke, match="different boots or time namespaces"):
        merge(tmp_path)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(HarnessBroke, match="no ledger file"):
        merge(tmp_path)


def test_a_follower_sees_each_event_once(tmp_path: Path) -> None:
    follower = Follower(tmp_path, ["relay", "keeper"])
    assert follower.poll() == []
    ledger = Ledger(tmp_path, "relay")
    ledger.append(Kind.NOTE)
    assert [e.kind for e in follower.poll()] == [Kind.NOTE]
    assert follower.poll() == []
    ledger.append(Kind.NOTE)
    ledger.end()
    assert [e.seq for e in follower.poll()] == [2, 3]
    follower.close()


def test_no_returned_append_is_lost_by_sigkill(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from chaosharness.ledger.writer import Ledger; from chaosharness.model.event import Kind\n"
        "ledger = Ledger(Path(sys.argv[1]), 'relay')\n"
        "while True:\n"
        "    print(ledger.append(Kind.NOTE, data={'text': 'x' * 200}), flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        for line in writer.stdout:
            if int(line) == 200:
                break
        writer.send_signal(signal.SIGKILL)
        returned = max([200, *(int(line) for line in writer.stdout.read().splitlines() if line)])
    events, _ = read(tmp_path / "relay.ledger.jsonl")
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert len(events) >= returned


def test_the_order_in_the_file_is_that_of_the_stamps_whoever_writes(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "relay")
    start = threading.Barrier(4)

    def write(name: str) -> None:
        start.wait(10)
        for n in range(500):
            ledger.append(Kind.NOTE, data={"text": f"{name}{n}"})
            ledger.append_all([Sighting(Kind.NOTE), Sighting(Kind.NOTE)], link=name, conn=n)

    threads = [threading.Thread(target=write, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    ledger.end()
    events, gaps = read(ledger.path)
    assert gaps == []
    assert len(events) == 4 * 500 * 3 + 1
    assert [e.at_ns for e in events] == sorted(e.at_ns for e in events)


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_write", lambda fd, data: os.write(fd, data[:7]))
    ledger = Ledger(tmp_path, "relay")
    ledger.append(Kind.NOTE, data={"text": "long enough"})
    ledger.append_all([Sighting(Kind.NOTE), Sighting(Kind.NOTE)], link="l", conn=1)
    ledger.end()
    events, gaps = read(ledger.path)
    assert [e.seq for e in events] == [1, 2, 3, 4]
    assert gaps == []


def test_a_refused_write_is_said_and_the_lock_is_free_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "relay")
    ledger.abandon()
    for _ in range(2):
        with pytest.raises(HarnessBroke, match="cannot append"):
            ledger.append(Kind.NOTE)
    with pytest.raises(HarnessBroke, match="cannot append"):
        ledger.append_all([Sighting(Kind.NOTE)], link="l", conn=1)


def test_after_a_refused_write_nothing_is_glued_to_what_was_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full in the middle of a line, and has room again: what was recorded before stays readable."""
    ledger = Ledger(tmp_path, "relay")
    ledger.append(Kind.NOTE, data={"text": "before"})
    with monkeypatch.context() as full:
        full.setattr(writer, "_write", _half_then_full())
        with pytest.raises(HarnessBroke, match="No space left"):
            ledger.append(Kind.NOTE, data={"text": "torn"})
    for append in (lambda: ledger.append(Kind.NOTE), ledger.end):
        with pytest.raises(HarnessBroke, match="No space left"):
            append()
    events, gaps = read(ledger.path)
    assert [event.data for event in events] == [{"text": "before"}]
    assert len(gaps) == 2


def _half_then_full() -> Callable[[int, bytes], int]:
    half = [10]

    def write(fd: int, data: bytes) -> int:
        if not half:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(fd, data[: half.pop()])

    return write
