"""Names as people type them: globs over scenario ids, and the nearest known name to a misspelt one.

In: what was typed and what exists. Out: a match, or the words for an error. To try it:
`glob_match("payment[effect-ack:*]", "payment[effect-ack:crash]")`; `did_you_mean("kafak", ["kafka", "rabbitmq"])`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(letter) or re.escape(letter) for letter in glob), re.DOTALL)


def glob_match(glob: str, text: str) -> bool:
    """Whether all of `text` matches: `*` is any stretch, `?` one character, brackets are literal, case counts."""
    return _pattern(glob).fullmatch(text) is not None


def nearest(word: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Up to `most` known names that are spelt nearly like `word`, the best first."""
    from difflib import get_close_matches  # here, since only an error needs it

    return get_close_matches(word, sorted(set(known)), n=most, cutoff=0.6)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown name: `; did you mean "kafka"? (known: kafka, rabbitmq)`."""
    known = list(dict.fromkeys(known))
    near = nearest(word, known)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f"{hint} (known: {', '.join(known) or 'none'})"
