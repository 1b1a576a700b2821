"""The process that owns and ends every other.

Goes in: recipes, signals, a ledger file to write to. Comes out: running processes, evidence, process events, and an
end of all of them when the harness is gone, however it went. To try it: `suites/conformance/test_keeper_*.py`.

    harness ──socket── keeper ──┬── minder ── a server (any tree of processes)
                                └── minder ── a replica of a system under test

Keeper and minders are subreapers: no process escapes by a double fork or a session of its own. End of file on the
socket ends everything; a minder whose keeper is killed ends its own tree; the tree of a killed minder falls to the
keeper.
"""
