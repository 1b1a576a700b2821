"""Plans read back from a file: the same plan, or what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.model.gate import Action, Point
from chaosharness.model.plan import Plan, Step
from chaosharness.model.window import Actor
from chaosharness.scenario.replay import read_plan

PLAN = Plan(
    flow="payment",
    window="effect-ack",
    seed=3,
    messages=30,
    target=12,
    kept_back=3,
    point=Point.SETTLE,
    actor=Actor.CONSUMER,
    server="broker",
    action=Action.HOLD,
    unsettled=False,
    after_effects=True,
    redelivers=True,
    steps=(Step("crash"),),
)


def written(folder: Path, **changed: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps({**PLAN.as_json(), "file": "flows.toml", **changed}), encoding="utf-8")
    return path


def test_a_plan_is_read_back_as_it_was(tmp_path: Path) -> None:
    assert read_plan(written(tmp_path)) == (PLAN, "flows.toml")
    assert read_plan(written(tmp_path, file=None)) == (PLAN, None)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"plan": 2}, 'expected a scenario plan ({"plan": 1, …}), found'),
    ({"target": "12"}, "not a scenario plan of this version: Expected `int`, got `str` - at `$.target`"),
    ({"messages": 1.5}, "not a scenario plan of this version: Expected `int`, got `float` - at `$.messages`"),
    ({"point": "nowhere"}, "not a scenario plan of this version: Invalid enum value 'nowhere' - at `$.point`"),
    ({"steps": [{"until": "at_once"}]}, "Object missing required field `fault` - at `$.steps[0]`"),
    ({"file": 3}, "not a scenario plan of this version: Expected `str | null`, got `int`"),
    ({"targt": 3}, 'targt: unknown key; did you mean "target"? (known: flow, window,'),
    ({"window": "effect-akc"}, 'window: unknown window "effect-akc"; did you mean "effect-ack"?'),
    ({"steps": []}, "steps: expected at least one fault, found none"),
    ({"steps": [{"fault": "crash", "until": "never"}]}, "steps: until: expected at_once or published, found 'never'"),
    ({"messages": 0}, "messages: expected 1 or more, found 0"),
    ({"kept_back": -1}, "kept_back: expected 0 to 29 of 30 messages, found -1"),
    ({"kept_back": 30}, "kept_back: expected 0 to 29 of 30 messages, found 30"),
    ({"target": 27}, "target: expected 0 to 26, the messages that are sent before the heal, found 27"),
    ({"target": -1}, "target: expected 0 to 26, the messages that are sent before the heal, found -1"),
    ({"deadline_s": 0}, "deadline_s: expected a number of seconds above 0, found 0"),
]


@pytest.mark.parametrize(("changed", "said"), BAD, ids=[str(changed) for changed, _ in BAD])
def test_what_is_wrong_with_a_plan(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = written(tmp_path, **changed)
    with pytest.raises(BadInput) as bad:
        read_plan(path)
    assert str(bad.value).startswith(f"--replay {path}: ")
    assert said in str(bad.value)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as bad:
        read_plan(written(tmp_path, window="nope", steps=[], target=99, extra=1))
    assert len(str(bad.value).splitlines()) == 4


@pytest.mark.parametrize("text", ["", "not JSON", "[" * 100_000, "[1]", "3", "null"])
def test_what_is_no_plan_at_all(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match="scenario plan"):
        read_plan(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be read as a scenario plan: .*No such file"):
        read_plan(tmp_path / "nowhere.json")
