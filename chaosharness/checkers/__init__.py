"""Pure functions from a history to findings and a verdict; SEMANTICS is what they say in code.

Goes in: `History`, `Promise`, `Aimed`. Comes out: `Judgement`, by `verdict.judge`. No I/O, no clock, no broker's name.

    facts.py          one pass over the events: what was seen of which key
    hit.py            what the aimed gate did, and when the fault struck
    sets.py           owed, held, lost, stuck, stranded, duplicated, … as sets of keys; with it ordering.py
    KIND.py           one finding kind each: which keys, why, with the smallest evidence
    semantics.py      which kinds break which semantic, and which refute it
    preconditions.py  what a history must show before it proves anything; with it evidence_of_fault.py, redelivery.py
                      and quiet.py
    verdict.py        all of it together

To try it: `suites/unit/test_checkers_*.py` judges literal histories, one line per event.
"""
