"""One file for one store: what a service leans on to keep its promise.

Goes in: a flow. Comes out: which windows the store gives to it, and the store's part of the faults aimed there.
"""
