"""The record of a scenario: one append-only JSON-lines file per process, written before what was observed goes on.

Goes in: events. Comes out: a `History`. To try it: `jq . LEDGER_FILE`; `suites/unit/test_ledger.py`.
"""
