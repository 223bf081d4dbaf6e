"""Every bound of the runtime, its unit last in its name, its reason below it."""

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""The largest content (1 MiB) in an event frame, four times over."""

TEXT_BYTES_MAX = 1024 * 1024 - 1024
"""One message or answer: the ledger's content bound less room for the map around the text."""

NAME_CHARS_MAX = 128
"""A conversation, an author, a gateway: an npub is 63, a Matrix id at most 255 but rarely 60."""

REASON_CHARS_MAX = 200
"""What a refusal tells the agent: one line of a log."""

TURN_STEPS_MAX = 50
"""Calls in one turn. Recall, model, answer are three; fifty is a long piece of work, not a loop."""

TURN_BYTES_MAX = 16 * 1024 * 1024
"""Call frames of one turn: fifty prompts of 300 KiB."""

MODEL_ITEMS_MAX = 256
"""Prompt parts: more are noise to any model and to the reader of the ledger."""

MODEL_REFS_MAX = 63
"""Each reference is a cause, the ledger takes 64, and one is the message itself."""

MODEL_TOKENS_MAX = 32_768
"""Largest reply that may be asked for."""

PROMPT_BYTES_MAX = 2 * 1024 * 1024
"""Half a million tokens: above every context window this is meant for."""

REPLY_BYTES_MAX = 256 * 1024
"""A model's reply: eight times MODEL_TOKENS_MAX in bytes would be 256 KiB."""

RECALL_HITS_MAX = 20
"""docs/spec/agent-protocol.md: limit is 1 to 20."""

QUERY_CHARS_MAX = 2_000
"""A question, not a document: full text search is quadratic in nothing but terms."""

HIT_CHARS_MAX = 2_000
"""What one hit shows. The agent names the event by reference if it wants a model to see all."""

NOTE_BYTES_MAX = 16 * 1024
"""One thing to remember: four pages."""

MEMORY_BYTES_MAX = 64 * 1024
"""One memory the operator gives: a chapter. A prompt may take the newest eight whole, and they
must leave most of PROMPT_BYTES_MAX to what was said."""

HISTORY_EVENTS_MAX = 2_000
"""Events a starting agent is told: a fortnight of lively talk, about a megabyte."""

SCREEN_PIECE_CHARS = 8_000
"""Longer texts are screened in slices of this length: 20 ms each, and other work in between."""

SCREEN_OVERLAP_CHARS = 400
"""Slices share this much, so that no phrase is cut in two: the longest has 25 words."""

SCREEN_VARIANTS_MAX = 12
"""Readings of one text (plain, leet, starred): each costs one pass over the text."""
