"""The errors that a person meets; one root class, each with what was found, what was expected and what to do."""

from __future__ import annotations

import errno

DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""`errno` of a disk that takes no more: the harness cannot go on, and no part of it is wrong."""


class ChaosError(Exception):
    """Root of every error that chaosharness raises on purpose. `exit_code` is the one of CONTRACT: commands."""

    exit_code = 4


class BadInput(ChaosError):
    """A flow file, an option or an environment that cannot be used; the message names the place."""

    exit_code = 2


class NotAvailableYet(BadInput):
    """Something that the contract knows and that this version does not run yet."""

    def __init__(self, what: str, where: str | None = None) -> None:
        super().__init__(f"{where + ': ' if where else ''}not available yet: {what}")


class MissingServer(BadInput):
    """A server that this machine cannot start; the message ends with the command that adds it."""


class HarnessBroke(ChaosError):
    """A part of the harness itself failed: nothing is proven, nothing is retried in silence."""


class TimedOut(HarnessBroke):
    """A bounded wait ended; the message says what was waited for, how long, and what was last seen."""


class ServerFailed(HarnessBroke):
    """A server did not start, stop or come back; the message ends with the tail of its log."""
