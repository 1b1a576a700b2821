"""Toxics as plain mappings, checked before they are sent, since Toxiproxy takes any attribute's name and ignores it.

In: `{"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`, optionally with `name` and `toxicity`.
Out: the same with every default filled in, or BadInput that lists all that is wrong. The types and their attributes are
those of Toxiproxy's README, "Toxics". To try it: `suites/unit/test_links_toxics.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaosharness.model.errors import BadInput
from chaosharness.model.names import nearest

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "latency": ("latency", "jitter"),  # ms
    "bandwidth": ("rate",),  # KB/s; 0 stalls without loss
    "slow_close": ("delay",),  # ms
    "timeout": ("timeout",),  # ms until it closes; 0 = never: bytes vanish until the toxic is removed
    "reset_peer": ("timeout",),  # ms
    "slicer": ("average_size", "size_variation", "delay"),  # bytes, bytes, µs
    "limit_data": ("bytes",),
}
"""Each type's attributes; all are whole numbers, 0 where not given."""

STREAMS = ("upstream", "downstream")
FIELDS = ("type", "stream", "attributes", "name", "toxicity")

BLACK_HOLE_IN: Mapping[str, Any] = {"type": "timeout", "stream": "downstream", "attributes": {"timeout": 0}}
"""What the server sends never reaches the client; removing it closes both ends. In and out are seen from the client."""
BLACK_HOLE_OUT: Mapping[str, Any] = {"type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}
"""What the client sends never reaches the server; removing it closes both ends."""


def checked(toxics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each toxic with name (`timeout_upstream` if none is given), toxicity and all attributes. Raises BadInput."""
    problems = [f"toxic {number}: {problem}" for number, toxic in enumerate(toxics, 1) for problem in _problems(toxic)]
    if not toxics:
        problems.append("no toxic given")
    if problems:
        raise BadInput("toxics that Toxiproxy does not know: " + "; ".join(problems))
    complete = [_complete(toxic) for toxic in toxics]
    names = [toxic["name"] for toxic in complete]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(
            f"a link holds one toxic of a name, and these come twice: {', '.join(twice)}; give each its `name`"
        )
    return complete


def _problems(toxic: Mapping[str, Any]) -> list[str]:
    found = [f"unknown field {field!r}{_nearest(field, FIELDS)}" for field in toxic if field not in FIELDS]
    kind = toxic.get("type")
    if not isinstance(kind, str) or kind not in ATTRIBUTES:
        found.append(f"type is {kind!r}, expected one of {', '.join(ATTRIBUTES)}{_nearest(kind, ATTRIBUTES)}")
    if toxic.get("stream") not in STREAMS:
        found.append(f"stream is {toxic.get('stream')!r}, expected {' or '.join(STREAMS)}")
    name = toxic.get("name", "named")
    if not (isinstance(name, str) and name and name.replace("_", "").replace("-", "").isalnum() and name.isascii()):
        found.append(f"name is {name!r}, expected letters, digits, _ and -")
    toxicity = toxic.get("toxicity", 1.0)
    if isinstance(toxicity, bool) or not isinstance(toxicity, int | float) or not 0 <= toxicity <= 1:
        found.append(f"toxicity is {toxicity!r}, expected a number from 0 to 1")
    attributes = toxic.get("attributes", {})
    if not isinstance(attributes, Mapping):
        return [*found, f"attributes is {attributes!r}, expected a mapping"]
    known = ATTRIBUTES.get(str(kind))
    for attribute, value in attributes.items():
        if known is not None and attribute not in known:
            found.append(f"{kind} has no attribute {attribute!r}, only {', '.join(known)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            found.append(f"attribute {attribute} is {value!r}, expected a whole number from 0")
    return found


def _nearest(word: object, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = nearest(str(word), known)
    return f" (nearest: {near[0]})" if near else ""


def _complete(toxic: Mapping[str, Any]) -> dict[str, Any]:
    kind, stream = toxic["type"], toxic["stream"]
    return {
        "name": toxic.get("name", f"{kind}_{stream}"),
        "type": kind,
        "stream": stream,
        "toxicity": float(toxic.get("toxicity", 1.0)),
        "attributes": {attribute: toxic.get("attributes", {}).get(attribute, 0) for attribute in ATTRIBUTES[kind]},
    }
