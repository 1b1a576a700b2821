"""What counts as an effect: one file for a kind of sink, with its stub that the relay loads.

Goes in: an `Effect` as declared. Comes out: where the system under test is to send it, and its windows. To try it:
`suites/conformance/test_sinks_http.py`.
"""
