"""A calendar for tests: the protocol of OpenTimestamps' otsd, on a regtest chain.

Everything is made with the reference library and python-bitcoinlib; it shares no code with attest, so
a mistake there is not repeated here. As the public server does, it puts a nonce, the time and a MAC
around what it is sent, answers with a promise, collects what waits into one transaction, and gives the
proof when that is six blocks deep. What differs: it commits when it is told to (`POST /commit`), never
replaces a transaction, and forgets everything when it ends. Loopback only.

    python -m tests.otsd --rpc URL --cookie FILE      prints: ready PORT
"""
