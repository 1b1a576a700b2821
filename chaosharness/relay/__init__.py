"""The process that holds taps and sinks: listens for every link, decodes, records, holds at gates, passes on.

Goes in: commands on its standard input (control.py), bytes on its links. Comes out: `relay.ledger.jsonl`, and the same
bytes, less what a gate threw away. It is a process of its own because a busy pytest would stall an in-process tap for
milliseconds a message. To try it: `suites/conformance/test_relay_gates.py`.
"""
