"""A regtest Bitcoin node for tests that needs nothing but pip.

Consensus is Bitcoin Core's own (libbitcoinkernel through py-bitcoinkernel); ours are the miner, a
mempool with Core v30's policy numbers, and a JSON-RPC shell that answers as Core does for the calls
an anchoring client makes. It shares no code with attest, so a mistake there is not repeated here.

    chain.py    the kernel's chainstate, with the UTXO set it does not expose
    miner.py    block templates and proof of work
    mempool.py  acceptance, replacement, eviction
    rpc.py      the calls
    server.py   HTTP, the cookie, the ready line

    python -m tests.regtest --port 0 --datadir DIR      prints: ready PORT COOKIE_FILE

What differs from Core: `invalidateblock` cannot be asked of the kernel, so it mines a longer branch
of empty blocks instead (the tip moves forward, not back); the UTXO set and mempool do not survive a
restart; there is no P2P, wallet, address index or fee estimate. Calls named `emulate...` are not
Core's: they do what only a busy network does. Loopback only.
"""
