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

FUTURE_SECONDS_MAX = 15 * 60
"""How far ahead of our clock an event may be dated: strfry's default."""

CONNECTIONS_MAX = 128
"""A fleet and its readers. Times SEND_QUEUE_BYTES_MAX this is the memory hostile peers can hold."""

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
"""Per relay that does not answer; then the oldest go, which can be minted again."""

OUTBOX_ATTEMPTS_MAX = 20
"""Times a relay may refuse an event 'for now' before it is dropped: an hour of backing off."""

PUBLISH_WINDOW_EVENTS = 16
"""Unanswered events per relay: hides a round trip, loses little when the relay throttles."""

PUBLISH_ACK_SECONDS_MAX = 30
"""Without any OK in this time the relay is taken for dead and dialled again."""
