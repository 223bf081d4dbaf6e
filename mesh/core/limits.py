"""Every bound of the mesh, its unit last in its name, its reason beside it."""

EVENT_BYTES_MAX = 64 * 1024
"""One event as JSON: strfry's default, so what we mint is taken elsewhere too."""

FRAME_BYTES_MAX = 128 * 1024
"""One websocket message: an event with its verb, or 1,900 ids in a REQ (strfry's default)."""

KIND_MAX = 65535
"""NIP-01."""

CREATED_AT_MAX_SECONDS = 2**53 - 1
"""The largest integer that every JSON reader holds without loss."""

TAGS_MAX = 2000
"""strfry's default; a contact list with 2,000 names."""

INDEXED_VALUE_BYTES_MAX = 1024
"""First value of a single-letter tag, which goes into an index (strfry's default)."""

SUBSCRIPTION_ID_CHARS_MAX = 64
"""NIP-01."""

SUBSCRIPTIONS_MAX = 32
"""Per connection. A client opens a handful; each costs a match for every event that arrives."""

FILTERS_MAX = 10
"""Per REQ: bounds the work that one subscription adds to every event that arrives."""

FILTER_VALUES_MAX = 2000
"""Per field of a filter: a page of ids as the larger clients ask for it."""

FILTER_LIMIT_MAX = 500
"""Events a filter may return: strfry's default. A larger `limit` is lowered to it (NIP-11)."""

REPLY_BYTES_MAX = 1024 * 1024
"""Stored events in the answer to one REQ; 500 of ours are 300 KiB. The oldest are left out."""

PENDING_EVENTS_MAX = 1000
"""Live events kept for a subscription while its stored ones are read (milliseconds)."""

STRIKES_MAX = 20
"""Frames that are no messages before a connection is closed: a confused client, not a flood."""

NOTICE_CHARS_MAX = 200
"""Text of a NOTICE or refusal, sent or believed: one line in a log."""

IDENTIFIER_CHARS_MAX = 5000
"""NIP-19 asks for this bound on any bech32 text."""

IDENTIFIER_RELAYS_MAX = 16
"""Relay hints in one NIP-19 identifier; more are noise or an attempt to make us dial."""

NIP44_WRITE_BYTES_MAX = 65_408
"""Plaintext we encrypt. Above it the padding grows beyond 65,536 bytes and NIP-44 (since June 2026)
has another length prefix, which common libraries refuse to write or to read."""

NIP44_READ_BYTES_MAX = 128 * 1024
"""Plaintext we decrypt, the long prefix included: more than any event of ours can hold."""

NIP04_PAYLOAD_CHARS_MAX = EVENT_BYTES_MAX
"""A kind 4 ciphertext lies in one event."""

RUMOR_BYTES_MAX = 28_672
"""A rumor as JSON. Seven steps of NIP-44's padding: NIP-59 seal and gift wrap around it make an
event of 55 KiB, and around one byte more one of over 64 KiB, which relays refuse."""

SEALED_TEXT_BYTES_MAX = 28_000
"""Words of one sealed message, as JSON writes them; what is left of the rumor is keys and tags."""

SEALED_RECEIVERS_MAX = 10
"""Of one message. NIP-17: for more, use something else; each costs two signatures."""

WRAP_AGE_SECONDS_MAX = 2 * 24 * 3600
"""NIP-59: NIP-59 seal and wrap are dated up to two days back."""

HANDLED_WRAPS_MAX = 50_000
"""Sealed messages known to be dealt with, 4 MB; older ones are opened again at a start."""

CARRIED_WRAPS_MAX = 200_000
"""Wraps known by what they carried, 20 MB: fifty thousand exchanges with one reader, and more."""

INBOX_RELAYS_MAX = 4
"""Of a person's kind 10050 list, the first count: NIP-17 asks for one to three."""

ENVELOPE_BYTES_MAX = SEALED_TEXT_BYTES_MAX
"""A conversation envelope as content of a rumor, where its own quotes are escaped once more."""

ENVELOPE_TEXT_BYTES_MAX = 16 * 1024
"""Words in an envelope; quotes and line breaks in them cost up to four bytes of the other bound."""

FUTURE_SECONDS_MAX = 15 * 60
"""How far ahead of our clock an event may be dated: strfry's default."""

CONNECTIONS_MAX = 128
"""A fleet and its readers."""

SEND_QUEUE_BYTES_MAX = 2 * 1024 * 1024
"""Per connection: one full reply and as much again of live events, then the reader is closed."""

SEND_STALL_SECONDS_MAX = 30
"""A reader that has not made room for its own reply in this time is closed."""

OFFERS_MAX = 64
"""Events of one connection that wait for the store; then its frames wait in its socket."""

COMMIT_EVENTS_MAX = 256
"""One transaction: enough to share its cost, short enough (30 ms) for a p99."""

STORE_EVENTS_MAX = 1_000_000
"""About a gigabyte on disk; a fleet's gossip of years."""

OUTBOX_EVENTS_MAX = 1000
"""Per relay that does not answer; then droppable ones make room, or the queue says it is full."""

OUTBOX_ATTEMPTS_MAX = 20
"""Times a relay may refuse an event 'for now' before it is dropped: an hour of backing off."""

PUBLISH_WINDOW_EVENTS = 16
"""Unanswered events per relay: hides a round trip, loses little when the relay throttles."""

PUBLISH_ACK_SECONDS_MAX = 30
"""Without any OK in this time the relay is taken for dead and dialled again."""

RECONCILIATION_FRAME_BYTES = 60_000
"""One message of ours (NIP-77): in hex, with its verb, it fits into FRAME_BYTES_MAX."""

RECONCILIATION_BYTES_MAX = 512_000
"""One message of the other side: strfry answers with up to 500,000 bytes."""

RECONCILIATION_ITEMS_MAX = 100_000
"""Items of a set, and ids learnt from a relay: 4 MiB in memory, 200 ms to make."""

RECONCILIATION_ROUNDS_MAX = 1000
"""Messages until a difference is known: 100,000 ids fit into a twentieth of them."""

AUTH_SECONDS_MAX = 10 * 60
"""How far the time in an authentication may be from ours: NIP-42 suggests it."""

AUTH_KEYS_MAX = 16
"""Keys that one connection may prove: a person's identities, not a fishing net."""

COUNT_MAX = 100_000
"""A count stops here and says that it is approximate (NIP-45): a tenth of a second."""

QUERY_STEPS_MAX = 20_000_000
"""Steps of SQLite's machine for one query: half a second, a million rows looked at in passing."""

RECONCILIATIONS_MAX = 4
"""Open at once on one connection (NIP-77): a client reconciles one filter after the other."""

RECONCILIATION_ITEMS_TOTAL_MAX = 1_000_000
"""Items of all connections' reconciliations together: 43 MiB."""

RECONCILIATION_IDLE_SECONDS = 60
"""One that was not heard of for so long makes room for another."""

SEND_QUEUES_BYTES_MAX = 64 * 1024 * 1024
"""Of all connections together: a few hundred slow readers must not fill the memory of the host."""

OFFERED_BYTES_MAX = 16 * 1024 * 1024
"""Events of all connections that wait for the store; then their frames wait in their sockets."""

SUBSCRIPTION_VALUES_MAX = 8000
"""Values in the filters that one connection has open: about a mebibyte of small strings."""

GUEST_EVENTS_MAX = STORE_EVENTS_MAX // 2
"""Stored events from which on only the fleet's are taken: others cannot shut it out."""

FETCH_EVENTS_MAX = 10_000
"""Events of one fetch from one relay: 20 pages. More are for reconciling, not for asking."""

FETCH_BYTES_MAX = 16 * 1024 * 1024
"""Their JSON together: what a relay that makes up events can make us hold for one question."""

SEEN_EVENTS_MAX = 20_000
"""Events a subscription remembers to have given (3 MiB): years of a person's messages."""

PAGE_EVENTS_MIN = 20
"""Events asked for in one REQ whatever a relay says it gives: a lie must not cost 10,000 pages."""

PAGES_MAX = 200
"""REQs of one walk through a relay's events for a filter: FETCH_EVENTS_MAX in pages of 50."""

RELAY_FRAME_BYTES_MAX = 1_100_000
"""One message of a relay to us: strfry reconciles in frames of 500,000 bytes, sent as hex."""

CHALLENGE_CHARS_MAX = 256
"""What a relay asks us to sign (NIP-42); relays use 16 to 64 characters."""

CHALLENGES_MAX = 8
"""Per connection: a relay that wants more signatures wants something else."""

REQUESTS_MAX = 256
"""Subscriptions and reconciliations of ours on one connection, waiting ones included."""

CLOSED_NAMES_MAX = 256
"""Names of ended subscriptions whose late events are no fault: what is under way in a socket."""

PAGE_BYTES_MAX = 4 * 1024 * 1024
"""Stored events taken of one REQ; 500 of ours are 300 KiB. The walk goes on from what came."""

RELAY_URL_CHARS_MAX = 256
"""Of a relay that somebody names; longer ones are noise."""

ROUTE_RELAYS_MAX = 4
"""Per author and direction: NIP-65 advises two to four, so more are not looked at."""

ROUTE_AUTHORS_MAX = 1000
"""Authors whose relays are remembered; then the ones longest unused go."""

LEARNT_RELAYS_MAX = 16
"""Relays that we dial because others named them, beside our own: each is a connection."""

LINKS_MAX = 64
"""Relays dialled at once, whoever named them; each may hold a frame and a page of a stranger."""

OUTBOX_SECONDS_MAX = 30 * 24 * 3600
"""A relay that did not take an event in a month is gone, and so is its reader."""

UNDELIVERED_MAX = 1000
"""Receivers of sealed messages that a relay would not have, over all relays: kept to be told of."""

UNCONFIRMED_EVENTS_MAX = 500
"""Per relay: events it took, kept until it was asked whether it has them; one REQ of ids."""

REMINTS_MAX = 3
"""Times an event is minted again for one relay: for its age, its size, and once for a bad guess."""

ANSWER_SECONDS_MAX = 10
"""Silence after a question of ours: the relay is not asked on. LAN and Tor answer within it."""

NEG_SECONDS_MAX = 5
"""Silence after NEG-OPEN: a relay that does not know NIP-77 often says nothing at all."""

FETCH_SECONDS_MAX = 60
"""One fetch from one relay, however it trickles."""

CATCH_UP_SECONDS_MAX = 900
"""A subscription's look at everything a relay has; cut short, it is looked at again."""

SWEEP_SECONDS = 600
"""How often a subscription reconciles with a connected relay: for what it kept back."""

SWEEP_WALK_SECONDS = 3600
"""The same where it has to be walked through, which costs every event again."""

CHECK_SECONDS = 3600
"""How often a relay is asked whether it has what it took."""

READER_EVENTS_MAX = 256
"""Verified events that wait for the reader of a subscription; then they are asked for again."""

IDS_PER_REQUEST = 100
"""Events asked for by id in one REQ: half a page of a modest relay."""

RECONCILES_MAX = 3
"""Times a difference is asked for until it is taken for a lie: relays list what they never send."""

IDLE_SECONDS = 60
"""A relay that is not ours is hung up on when nothing was wanted of it for so long."""

CLEAN_SECONDS = 600
"""A connection without a fault for so long forgives the faults before it."""

RELAY_FRAMES_PER_SECOND_MAX = 5000
"""Beyond it a relay's frames wait in its socket: half of what one core verifies."""

RELAY_FRAMES_QUEUED = 4
"""Frames of a relay in memory, times RELAY_FRAME_BYTES_MAX, before its socket has to wait."""

DOCUMENT_BYTES_MAX = 64 * 1024
"""A relay's NIP-11 document; real ones are 1 to 4 KiB."""

DOCUMENT_SECONDS_MAX = 5
"""For the document: it only helps."""

BOOK_SECONDS_MAX = 7 * 24 * 3600
"""What was learnt of a relay is believed for so long: it may have been set up anew."""

BOOK_RELAYS_MAX = 500
"""Relays that something is remembered of; then the oldest go."""

PACKAGE_EVENTS = 256
"""Events of one package of a log that is copied: the leaves under one tile (docs/spec/tree.md)."""

PACKAGE_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024
"""256 envelopes of 16 KiB, each the largest there is, and a path."""

LEAVES_EVENTS = 1024
"""Leaf hashes of one answer: 32 KiB. A million come with 1,000 requests, a minute's worth of what a
stranger may ask; giving them and proving them takes either side some milliseconds."""

LEAVES_BYTES_MAX = LEAVES_EVENTS * 32 + 4 * 1024
"""Those, and a path of at most 64 hashes."""

BODIES_BYTES = 2 * 1024 * 1024
"""What an answer with payloads and contents is filled up to; what does not fit is asked again."""

BODIES_BYTES_MAX = 4 * 1024 * 1024
"""What is read of such an answer: filled up, and one largest content (1 MiB) over it."""

INTRODUCTION_BYTES_MAX = 4 * 1024 * 1024
"""A head with all handoffs before it: 3 KiB each, so a thousand of them, and room."""

INTRODUCTION_EVENTS_MAX = 2000
"""Handoffs and recoveries of a log: one a day for five years."""

MIRROR_REQUESTS_MAX = 4
"""Unanswered requests to one source: hides a round trip, leaves room for other readers there."""

MIRROR_AHEAD_PACKAGES = 4
"""Packages whose payloads are asked for before the first of them is stored: times BODIES_BYTES_MAX
this is what answers out of order can hold."""

MIRROR_KEPT_BYTES_MAX = 16 * 1024 * 1024
"""Envelopes kept between the two passes over a log: of 100,000 events. Others are asked again."""

MIRROR_EVENTS_AHEAD_MAX = 16 * 1024 * 1024
"""Events of one head that are not stored yet: 65,536 packages to keep count of, some 20 MiB, or
512 MiB of leaf hashes. A log that is longer than this at first sight is not mirrored."""

MIRROR_RETREAT_SECONDS = 60.0
"""How long a pursued head may stand still before a smaller one will do: its only source is gone."""

MIRROR_SOURCES_MAX = 16
"""Places where one log is asked for at each poll, and peers that node.toml may name. The members of
a larger fleet are asked one after the other: one more place at each poll."""

MIRROR_SOURCES_MIN = 4
"""The same where many logs are mirrored: its own node, and some who may be nearer."""

MIRROR_HEADS_MAX = 256
"""Heads that all mirrors of a node together ask for at each poll: fifty requests a second. Above 64
logs each is still asked for at MIRROR_SOURCES_MIN places."""

MIRROR_POLL_SECONDS = 5.0
"""How often a near source that answers is asked for its head; a head is signed within a second."""

SIGNED_REQUEST_SECONDS_MAX = 60
"""How far a stranger's signed request may be off our clock: what NIP-98 suggests."""

KNOWN_REQUEST_SECONDS_MAX = 3600
"""The same of members, and whom the operator named: clocks of cheap machines, as of presences."""

RECENT_PEERS_MAX = 1024
"""Whose newest request is remembered: the largest manifest's members, and whom node.toml names."""

LIVE_CALL_BYTES_MAX = 12 * 1024
"""Of a question or an answer that goes in a live wrap: a request to join, and room."""

LIVE_CALL_SECONDS_MAX = 600
"""How far the date of a live call may be off our clock; more is a replay."""

LIVE_CALLS_PER_SECOND_MAX = 50
"""Live wraps that are opened, a millisecond each; what is beyond it is lost, and asked again."""

LIVE_EVENTS_MAX = 64
"""Per relay: live events that wait for its connection, some seconds; then the oldest are lost."""

LIVE_EVENT_SECONDS_MAX = 10
"""How long one waits for it: relays refuse ephemeral events that are a minute old."""
