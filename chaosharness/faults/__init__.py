"""One file for one fault: injected into what holds the aimed message, shown by evidence, healed by itself.

Goes in: a `Target`. Comes out: an `Injection`. To try it: `chaosharness run flows.toml --only '*:crash'`.
"""
