"""Templates in the strings of a flow: `{broker}`, `{payment.effect}`, `{stores.dedup.host}`, `{key}`.

In: a text, and the names that are valid where it stands. Out: the text filled, or an error that lists those names. Only
what looks like a name between braces is a template; any other brace, as in JSON, stays a brace. To try it:
`fill('{"id": "{key}"}', {"key": "k7f3q-000117"})`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from chaosharness.model.errors import BadInput
from chaosharness.model.names import did_you_mean

_TEMPLATE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)\}")
ATTRIBUTES = ("host", "port")
"""What a connection string has besides itself."""


def names_in(text: str) -> list[str]:
    """The names of all templates in the text, in order: `["broker", "effect.port"]`."""
    return _TEMPLATE.findall(text)


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its templates replaced. `values`: full name (`broker`, `broker.host`) to what stands for it.

    One pass: what is filled in is not looked at again. Raises BadInput naming an unknown template and the known ones.
    """

    def value(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in values:
            raise BadInput(f"in {text!r}: {unknown(name, values)}")
        return values[name]

    return _TEMPLATE.sub(value, text)


def with_attributes(name: str) -> list[str]:
    """A connection string's names: itself, its host and its port."""
    return [name, *(f"{name}.{attribute}" for attribute in ATTRIBUTES)]


def problems_in(text: str, known: Collection[str]) -> list[str]:
    """What is wrong with the templates of a text, in words; `known`: the full names that are valid there."""
    return [unknown(name, known) for name in dict.fromkeys(names_in(text)) if name not in known]


def unknown(name: str, known: Collection[str]) -> str:
    """The words for a template that names nothing."""
    owner, _, attribute = name.rpartition(".")
    if owner in known:
        has = [other.rpartition(".")[2] for other in known if other.rpartition(".")[0] == owner]
        return f'unknown attribute "{attribute}" of template {{{owner}}}{did_you_mean(attribute, has)}'
    return f"unknown template {{{name}}}{did_you_mean(name, known)}"
