"""One scenario: a flow, a window and a fault, run once: plan, arm, inject, heal, drain, check.

Goes in: a `Rig` of running servers, a `Flow` and a `Plan`. Comes out: a `Result`, and a folder with the ledger.
It names no broker: a broker, a sink and a fault are what the registry gives. To try it: `chaosharness run flows.toml`.
"""
