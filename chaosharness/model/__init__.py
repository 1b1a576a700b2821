"""The words of the product as frozen data: no I/O, standard library only.

Goes in: nothing. Comes out: the types that every other layer speaks in. To try it: `suites/unit/test_model_*.py`.
"""
