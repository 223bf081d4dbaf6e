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

ENROLMENT_SAT = 1_000
"""Above every node's dust limit (546 for the oldest); it comes back as the handoff's change."""

SEAL_SAT = 10_000
"""Thirty times dust: stays spendable whatever relay policy does next, and is small to lose."""

ANCHOR_VBYTES = 260
"""An anchor with one fee coin and change, as a rule; a bump pays for the same bytes once more."""

INPUT_VBYTES = 58
"""A key-path input is 57.5: a coin worth less than it costs to spend is left where it is."""

RECOVERY_RUNGS = (1, 3, 10)
"""Times the feerate at signing: the kit is back in its safe when the fees rise tenfold."""

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

SLOT_DEPTH_MAX = 256
"""Bits of a ledger id. Among 100,000 honest ids a path has 17 levels and hardly ever 35."""

LEDGERS_MAX = 100_000
"""Ledgers of one aggregator: a tree of 25 MB, built in a second, proofs of half a kilobyte."""

SEGMENT_LINKS_MAX = 10_000
"""Links of one delegation: an anchor an hour for a year, then delegate anew; 20 MB."""

SUBMISSION_BYTES_MAX = 96 * 1024
"""A note of 64 KiB, an event 0 of a few, and two paths; an honest one is 2 KB."""

SUBMISSIONS_PER_HOUR = 60
"""One a minute: far more than there are rounds."""

AGGREGATOR_ANSWER_BYTES_MAX = 1024 * 1024
"""A link with the most headers, in hex, beside a slot: 0.4 MB; as a rule 20 kB."""

AGGREGATOR_ANSWER_S = 30.0
"""Nobody waits for it."""

AGGREGATOR_RETRY_S = 60
"""First wait after a head was not taken; each further failure doubles it."""

AGGREGATOR_WAIT_S_MAX = 86_400
"""Longest wait between two attempts: there is a newer head each day."""

ROUNDS_KEPT_MAX = 10_000
"""A round an hour for a year; of older ones an aggregator gives no proofs any more."""

OTS_BYTES_MAX = 64 * 1024
"""A whole .ots: public ones have 0.2 to 4 kB. The format itself has no such bound."""

OTS_MESSAGE_BYTES_MAX = 4096
"""Arguments, and messages before and after an operation, in the reference implementation."""

OTS_STEPS_MAX = 255
"""Operations between a file's digest and an attestation: the reference's recursion limit is 256."""

OTS_PAYLOAD_BYTES_MAX = 8192
"""Payload of an attestation, in the reference implementation."""

OTS_URI_BYTES_MAX = 1000
"""Address of a calendar, in the reference implementation."""

OTS_NUMBER_BYTES_MAX = 9
"""A variable-length number, 7 bits a byte; the reference reads any. Larger ones mean nothing."""

CALENDAR_ANSWER_BYTES_MAX = 10_000
"""What the reference client reads; real answers have 0.2 to 2 kB."""

CALENDAR_SUBMIT_S = 10.0
"""The public client gives up after 5 s; who is later is asked again in a minute."""

CALENDAR_LOOK_UP_S = 30.0
"""Nobody waits for it."""

CALENDARS_MAX = 16
"""Four public ones are in use; each stamp is sent to all of them."""

CALENDAR_RETRY_S = 60
"""First wait after a submission that failed; each further failure doubles it."""

CALENDAR_WAIT_S_MAX = 7 * 86_400
"""Longest wait between two attempts. A longer one in a record means that the clock was changed."""

CALENDAR_PATIENT_TRIES = 24
"""Looks at one interval before it doubles: a day of hourly ones; a calendar takes hours."""

CALENDAR_PENDING_MAX = 8
"""Addresses that one calendar's answer may send us to; public pools name one or two."""

CALENDAR_EXCHANGES_MAX = 8
"""Requests under way at once, to all calendars together."""

STAMPS_OPEN_MAX = 1000
"""Stamps that are looked after: years of daily ones. An older one keeps what it has."""
