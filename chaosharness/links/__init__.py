"""Links: the network between a service and a server, as Toxiproxy proxies that can be poisoned, and proven to be.

Goes in: a running Toxiproxy's address, a link's id, where it leads. Comes out: `Link`s whose every change is read back.
To try it: `suites/conformance/test_links.py`.
"""
