"""Bad guests and bad ground: services that misbehave beside their work, a disk that is full, a port that is taken.

Each through the command line, each with its bound: the run ends, says what was amiss, and leaves nothing behind.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aftermath import recorded
from product import FIXTURES, Said, cli, flow

from chaosharness.cli import main
from chaosharness.keeper import tree
from chaosharness.keeper.bound import PROCESSES
from chaosharness.keeper.linelog import LOG_BYTES
from chaosharness.servers.local import LocalLauncher

HERE = Path(__file__).parent
ROGUE = HERE / "rogue.py"
PRODUCER = """\
[flow.shipper.producer]
command = "python3 {script} {kind}"
env = {{ REDIS_URL = "{{broker}}", ORDERS = "orders" }}
stop_grace_s = 2
"""
CELL = "shipper[effect-ack:crash]"


def run(folder: Path, text: str, *options: str) -> Said:
    (folder / "flows.toml").write_text(text, encoding="utf-8")
    return cli(folder, "run", "flows.toml", "--only", CELL, "--seed", "3", "--backend", "local", *options)


def rogue(kind: str, more: str = "", **options: Any) -> str:
    """The flow with a worker that does its work, and this besides."""
    text = flow(service=f"{ROGUE} {kind}", **options)
    return text.replace("[flow.shipper.effect]", f"{more}\n[flow.shipper.effect]")


def the_result(folder: Path) -> tuple[dict[str, Any], Path]:
    """The only scenario of the only run, and its folder."""
    (run_folder,) = (folder / ".chaosharness" / "runs").iterdir()
    document = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))
    (result,) = document["scenarios"]
    return result, run_folder / "scenarios" / "shipper-effect-ack-crash"


def nothing_runs(*words: str) -> None:
    """No process of this machine has these words in its command line."""
    for pid in tree.scan():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        assert not all(word.encode() in line for word in words), line


# what a service does


def test_a_service_that_writes_every_byte_there_is(tmp_path: Path) -> None:
    said = run(tmp_path, rogue("binary"))
    assert said.code == 0, said
    log = (the_result(tmp_path)[1] / "shipper.0.log").read_bytes()
    assert log.decode("utf-8").count("connected") >= 2  # its own lines stand behind the noise, in both of its lives
    assert max(map(len, log.splitlines())) < 70_000
    assert "\x1b" not in said.out + said.err


def test_a_service_that_floods_its_log(tmp_path: Path) -> None:
    said = run(tmp_path, rogue("flood"))
    assert said.code == 0, said
    result, folder = the_result(tmp_path)
    log = folder / "shipper.0.log"
    assert log.stat().st_size < LOG_BYTES + 10_000
    assert b"the log is full" in log.read_bytes()[-10_000:]
    assert [note for note in result["notes"] if "shipper.0 wrote more than its log may hold" in note]
    assert result["duration_s"] < 20


def test_a_service_that_does_not_end_when_it_is_told_to(tmp_path: Path) -> None:
    said = run(tmp_path, rogue("stubborn", "stop_grace_s = 0.5"))
    assert said.code == 0, said
    assert [note for note in the_result(tmp_path)[0]["notes"] if "did not end within 0.5 s of SIGTERM" in note]


def test_a_service_that_hides_a_process_behind_two_forks_and_a_session(tmp_path: Path) -> None:
    said = run(tmp_path, rogue(f"hides {tmp_path}/hidden"))
    assert said.code == 0, said
    assert int((tmp_path / "hidden").read_text()) > 0
    nothing_runs(str(ROGUE), str(tmp_path))


def test_a_service_that_forks_for_ever(tmp_path: Path) -> None:
    """It is ended before the machine is, and nothing is proven of it."""
    said = run(tmp_path, rogue("forks", workload="messages = 300\nrate_per_s = 30", drain_within_s=1))
    assert said.code == 3, said
    result, folder = the_result(tmp_path)
    assert "observed_whole" in result["unproven_because"]
    assert "shipper.0 was ended by the harness: it had " in said.out
    (count, *_) = map(int, re.findall(r"it had (\d+) processes", (folder / "shipper.0.log").read_text()))
    assert PROCESSES < count < 10 * PROCESSES
    nothing_runs(str(ROGUE))


def test_a_service_that_forks_for_ever_and_never_subscribes(tmp_path: Path) -> None:
    text = rogue("forks").replace(f"python3 {ROGUE} forks", f"python3 {ROGUE} only-forks")
    said = run(tmp_path, text)
    assert said.code == 3, said
    assert "shipper.0 was ended by the harness: it had " in " ".join(said.out.split())
    assert the_result(tmp_path)[0]["duration_s"] < 25
    nothing_runs(str(ROGUE))


# what a producer says


def producing(kind: str) -> str:
    return flow(drain_within_s=5) + PRODUCER.format(script=HERE / "rogue_producer.py", kind=kind)


@pytest.mark.parametrize("kind", ["binary", "endless"])
def test_a_producer_whose_answers_stand_among_noise(tmp_path: Path, kind: str) -> None:
    said = run(tmp_path, producing(kind))
    assert said.code == 0, said
    (note,) = (note for note in the_result(tmp_path)[0]["notes"] if "were no answers" in note)
    assert "\x1b" not in note + said.out + said.err
    if kind == "endless":
        assert "300001 lines" in note


def test_a_producer_that_never_reads(tmp_path: Path) -> None:
    """Neither the run nor its end waits for it for ever."""
    text = producing("deaf").replace("messages = 30\n", "messages = 300\nin_flight = 300\n")
    said = run(tmp_path, text.replace('{"order_id": "{key}"}', '{"order_id": "{key}", "pad": "%s"}' % ("." * 1000)))
    assert said.code == 3, said
    nothing_runs("rogue_producer.py")


# what is declared, and what is there


def test_a_key_that_is_not_where_it_is_said_to_be(tmp_path: Path) -> None:
    place = '[flow.shipper.effect]\nkey = "body:json:$.parcel.id"'
    said = run(tmp_path, flow(drain_within_s=2).replace("[flow.shipper.effect]", place))
    assert said.code == 3, said
    assert "observed_whole" in the_result(tmp_path)[0]["unproven_because"]
    assert "without a key: request POST /v1/parcels" in " ".join(said.out.split())
    assert "none found in body:json:$.parcel.id" in " ".join(said.out.split())


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_was_taken_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], taken: int
) -> None:
    """It was free when it was drawn."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows.toml").write_text(flow(), encoding="utf-8")
    monkeypatch.setattr(LocalLauncher, "free_port", lambda self: taken)
    assert main(["run", "flows.toml", "--only", CELL, "--backend", "local"]) == 4
    said = capsys.readouterr().err
    assert "in use" in said
    assert "Traceback" not in said
    nothing_runs(str(tmp_path))


def test_a_service_whose_port_is_taken(tmp_path: Path, taken: int) -> None:
    listens = f"import socket; socket.create_server(('127.0.0.1', {taken}))"
    text = flow().replace(f"python3 {FIXTURES}/services/shipper.py", f'python3 -c \\"{listens}\\"')
    said = run(tmp_path, text)
    assert said.code == 3, said
    assert "shipper.0 ended before it subscribed to orders (exit codes 1" in " ".join(said.out.split())
    assert "Address already in use" in said.out


# a disk that is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a file system of so many bytes; where it may not, the test is skipped."""
    mounted: list[Path] = []

    def make(size: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], capture_output=True, text=True
        )
        if tried.returncode:
            pytest.skip(f"a small file system cannot be mounted here: {tried.stderr.strip()}")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("size", ["500k", "200k", "20k", "4k"])
def test_a_disk_that_is_full_under_the_record(tmp_path: Path, small_disk: Callable[[str], Path], size: str) -> None:
    """Whenever that comes: it is said, what was recorded is there, and nothing runs on."""
    disk = small_disk(size)
    said = run(tmp_path, flow(workload="messages = 2000", drain_within_s=2), "--runs", str(disk))
    assert said.code == 4, said
    assert "Traceback" not in said.out + said.err
    if size != "4k":
        assert "No space left on device" in " ".join(said.out.split())
    (run_folder,) = disk.iterdir()
    files = {path.name.partition(".")[0] for path in run_folder.glob("scenarios/*/*.ledger.jsonl")}
    if size in ("500k", "200k"):
        assert recorded(run_folder, files) > 300
        assert files == {"harness", "keeper", "relay"}
    nothing_runs(str(disk))
