"""Evidence as the ledger keeps it."""

from __future__ import annotations

from typing import Any

from chaosharness.ports.launch import Evidence


def as_data(evidence: Evidence) -> dict[str, Any]:
    """Plain types: what was found, in words and as facts."""
    return {"what": evidence.what, **evidence.facts}
