"""The files that the fuzzer starts from keep the rules: real conversations, and each finding that was mended.

Written anew by `python suites/unit/test_fuzz_seeds.py`, from the conversations in `hostile_talk.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import TARGETS, Turn, as_file, kinds, turns_of
from hostile_talk import AMQP, HTTP, RESP
from test_taps_redis_store import TALKS

from chaosharness.model.event import Kind
from chaosharness.ports.wire import Side

SEEDS = Path(__file__).parents[2] / "fixtures" / "fuzz"
FILES = sorted(path.relative_to(SEEDS) for path in SEEDS.glob("*/*"))


def talks() -> dict[str, list[Turn]]:
    """Conversations by the name of their file."""
    http = {name: [(Side.CLIENT, piece) for piece in pieces] for name, pieces in HTTP.items()}
    groups = {"amqp": AMQP, "resp": RESP, "store": TALKS, "http": http}
    return {f"{target}/{name}": turns for target, group in groups.items() for name, turns in group.items()}


def test_there_is_a_file_for_each_conversation() -> None:
    assert set(talks()) <= set(map(str, FILES))
    assert {path.parts[0] for path in FILES} == set(TARGETS)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_keeps_the_rules(path: Path) -> None:
    TARGETS[path.parts[0]]((SEEDS / path).read_bytes())


@pytest.mark.parametrize("name", talks())
def test_a_conversation_is_read_to_its_end(name: str) -> None:
    data = (SEEDS / name).read_bytes()
    assert turns_of(data) == talks()[name]
    seen = TARGETS[name.partition("/")[0]](data)
    assert seen
    assert Kind.UNPARSED not in kinds(seen)


if __name__ == "__main__":
    for name, turns in talks().items():
        (SEEDS / name).parent.mkdir(parents=True, exist_ok=True)
        (SEEDS / name).write_bytes(as_file(turns))
