"""A run: servers started once and shared, a run folder, scenarios one after the other. Both faces use it.

Goes in: flows, a seed, what to run. Comes out: a `RunResult`, and a folder with everything that was recorded. To try
it: `chaosharness run flows.toml`.
"""
