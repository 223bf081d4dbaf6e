"""Measurements: `make bench`. Ours and its peers in turn, the disk's own rate beside them.

    rows.py     what is measured, against whom, and the goals
    contest.py  child processes in turn, round after round
    syncs.py    the disk's own rate; how often a contestant asks for durability
    ours.py     our side of every row, one process a measurement; peers/ are the others'
    relays.py   relays side by side: each a process, relay_client.py their one client
    seals.py    a chain of Bitcoin seals, for the rows about verifying one
    million.py  a home with a million events: start, memory, growth, bytes
    living.py   a whole node as a user starts it
    report.py   medians, ratios, verdicts; the table, the JSON, the page

No test fails on a clock: tests/bench runs every row once, small, and looks at none of the figures.
"""
