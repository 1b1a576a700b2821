"""A run: servers started once and shared, a run folder, scenarios one after the other. Both faces use it.

Goes in: flows, a seed, what to run. Comes out: a `RunResult`, written as `run.json` and `report.html` into the run's folder. To try it:
`chaosharness run flows.toml`.
"""
