"""Whatever stands in a flow file: it is read, or it is bad input; never anything else."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from flowfile_example import GOOD, Plugins
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_flowfile_good import EVERYTHING

from chaosharness.flowfile import load, parse
from chaosharness.model.errors import BadInput
from chaosharness.model.flow import FlowFile

WORDS = """
flow service images payment source consumer effect effects stores workload producer waive semantic because scenarios
rabbitmq kafka redis_list http command env cwd drive messages target payload properties answer status body count key
effect-ack:crash lost a
"""
KEYS = st.sampled_from(WORDS.split())
SCALARS = (
    st.sampled_from(
        ["", "sh", "{broker}", "{key.host}", "POST /x", "effectively_once", "*", "*:crash", "a+b", "[", "\0"]
    )
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.dates()
    | st.just(datetime.time(1))
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
QUICK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def outcome(read: Any) -> str | None:
    try:
        assert isinstance(read(), FlowFile)
    except BadInput as bad:
        return str(bad)
    return None


@QUICK
@given(data=st.data())
def test_mutated_text(tmp_path: Path, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([GOOD, EVERYTHING]))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        put = data.draw(
            st.text(alphabet="ab1{}[]=\".'#\n -", max_size=4) | st.sampled_from(GOOD.splitlines(keepends=True))
        )
        text = text[:start] + put + text[end:]
    path = tmp_path / "flows.toml"
    path.write_text(text, encoding="utf-8")
    said = outcome(lambda: load(path, Plugins()))
    assert said is None or said.startswith(str(path))


@QUICK
@given(tables=st.dictionaries(KEYS, VALUES, max_size=3), flow=st.dictionaries(KEYS, VALUES, max_size=8))
def test_any_tables(tmp_path: Path, tables: dict[str, Any], flow: dict[str, Any]) -> None:
    outcome(lambda: parse({**tables, "flow": {"payment": flow}}, "here", tmp_path, Plugins()))
