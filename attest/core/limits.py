"""Every bound of attest, its unit last in its name, its reason beside it."""

TRANSACTION_BYTES_MAX = 100_000
"""Bitcoin Core relays nothing above 400,000 weight units; ours are 200 to 2,400 bytes."""

MONEY_SAT_MAX = 21_000_000 * 100_000_000
"""Consensus: no output, and no sum of outputs, is larger (MAX_MONEY)."""

PATH_DEPTH_MAX = 15
"""A block holds at most 4,000,000 / 240 = 16,666 transactions, and 2^15 is more than that."""

LINK_HEADERS_MAX = 2016
"""Headers beside one link: one retarget period; 100 make it final."""

LINKS_MAX = 100_000
"""An anchor an hour for eleven years."""

FEE_INPUTS_MAX = 32
"""Thirty-two small coins pay any fee under the cap; more is dust collecting at our expense."""

DUST_SAT = 330
"""Bitcoin Core does not relay a P2TR output below this (3 sat/vB of what its spend costs)."""

SEAL_SAT = 10_000
"""Thirty times dust: stays spendable whatever relay policy does next, and is small to lose."""

FEE_SAT_MAX = 100_000
"""0.001 BTC, the cap of OpenTimestamps' calendar too: an estimator gone mad stops here."""

FEERATE_FALLBACK_SAT_PER_KVB = 2_000
"""Estimators know nothing on regtest and after a restart; twice the old relay minimum."""

FEERATE_SAT_PER_KVB_MAX = 1_000_000
"""1,000 sat/vB: above every day of 2017-2026; an answer beyond it is a broken estimator."""

BUMP_SAT_PER_KVB = 1_000
"""What a replacement must add: 1 sat/vB serves nodes before Core v30 (now a tenth) as well."""

FEE_TARGET_BLOCKS = 36
"""Six hours: an anchor is due once a day and is bumped when it sticks."""

VARIANTS_MAX = 64
"""Replacements of one link; each adds a tenth or more to the fee, so the cap comes first."""

CONFIRMED_BLOCKS = 6
"""The customary depth; two-block reorganisations still happen."""

FINAL_BLOCKS = 100
"""Coinbase maturity: consensus itself treats a block as settled then."""

COINBASE_MATURITY_BLOCKS = 100
"""Consensus: a coinbase is spendable in the hundredth block after its own."""

RPC_ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""getblock with txids of the fullest block is 1.2 MB, a batch of 100 headers 20 kB."""

RPC_BATCH_CALLS_MAX = 200
"""One HTTP request; twice the headers of a final link."""

RPC_TIMEOUT_S = 30.0
"""A busy node answers in milliseconds, one that flushes its caches within seconds."""

SCAN_TIMEOUT_S = 600.0
"""scantxoutset reads all of mainnet's 180 million coins: minutes on a slow disk."""

CREDENTIALS_BYTES_MAX = 4096
"""A cookie is 75 bytes."""

RECORD_BYTES_MAX = 8 * 1024 * 1024
"""One state record: 64 variants of the largest transaction that is ever signed, with room."""
