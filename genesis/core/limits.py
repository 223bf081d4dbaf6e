"""Every bound of succession, its unit last in its name, its reason below it."""

TREE_FILES_MAX = 256
"""The agent has a dozen modules; skills and templates may come to a hundred."""

TREE_FILE_BYTES_MAX = 256 * 1024
"""A module of 500 lines is 20 KiB."""

TREE_BYTES_MAX = 4 * 1024 * 1024
"""What is read, hashed and written for every fork."""

PATH_CHARS_MAX = 160
"""With the home's own path, far below the 4096 of PATH_MAX."""

PATH_DEPTH_MAX = 8
"""A tree a person can find his way in."""

PATCH_BYTES_MAX = 512 * 1024
"""Half of an event's content bound; nobody reviews a larger one."""

PATCH_FILES_MAX = 64
"""Files one patch may touch."""

VERDICT_BYTES_MAX = 256 * 1024
"""A statement is 10 KiB: forty outcomes and their digests."""

SIGNATURES_MAX = 16
"""DSSE allows several; one per judge of a fleet."""

SEED_BYTES = 32
"""Too many to guess, and what a hash gives."""

TRANSCRIPT_BYTES_MAX = 8 * 1024 * 1024
"""What a subject may say in one case: a flood ends the case, not the judge's memory."""

HISTORY_EVENTS_MAX = 2_000
"""Events of the snapshot that a subject is told before a case, as in production."""

SKILL_BYTES_MAX = 64 * 1024
"""What the tool that reads one takes."""

SKILLS_MAX = 200
"""What the tool that lists them shows."""

SKINS_MAX = 64
"""What a ledger takes."""

SKIN_BYTES_MAX = 32 * 1024
"""A voice of 4,000 characters, four bytes each at most, and what stands around it."""

THRESHOLDS_BYTES_MAX = 4 * 1024
"""Five lines and their tables, with room for ten times as many."""

MANIFEST_FILES_MAX = 4096
"""The pinned part is some six hundred files; with tests and data left out it stays below this."""

DOCUMENT_BYTES_MAX = 256 * 1024
"""Of a proposal: a change that people can read; the whole tree is a sixth of it."""

DOCUMENT_LINES_MAX = 20_000
"""The tree has two thousand."""

FRONT_BYTES_MAX = 16 * 1024
"""The front matter: a dozen short texts."""

TITLE_CHARS_MAX = 120
"""One line of a list."""

FIELD_CHARS_MAX = 2_000
"""Rationale, evaluation and expected effect, each: what does not fit goes into the prose."""

BUDGET_SECONDS_MAX = 86_400
"""A judgment of more than a day is another project."""

BUDGET_TOKENS_MAX = 100_000_000
"""What a day of the strongest models costs; the judge's own bounds are lower."""

BUDGET_USD_MAX = 10_000
"""As for tokens."""

MEASURE_CHARS_MAX = 32
"""The name of a measure: two words and a dash."""

MEASURED_CASES_MAX = 64
"""Cases that a measure is taken of; a bootstrap of more says no more."""

TEMPLATE_CHARS_MAX = 100_000
"""Templates of one case, each once: fifty pages. They are read by patterns, which takes time."""

REPLAYED_TURNS = 24
"""Turns on record that are told once more: half a second; of 100,000 events some seconds."""

REPLAY_SEEN_EVENTS_MAX = 200_000
"""Newest events among which they are drawn: some ten thousand turns, a second of reading."""

MEASURED_TURNS = 12
"""Turns of one measure: the fewest of which an interval at 95 % leaves out two on each side."""

EXPORT_EVENTS_MAX = 8_000_000
"""Of a session that is copied for a fork: a long life; its copy takes some eight gigabytes."""

EXPORT_ABOUT_BYTES_MAX = 24 * 1024 * 1024
"""What stands beside the events: the tree's 4 MiB, 200 skills and 64 skins at their largest."""

EXPORT_TOOLS_MAX = 512
"""Tools of the parent that a fork is told of; a node has a hundred at most."""

FORK_TURNS_MAX = 64
"""Recorded turns that a fork tells once more: each is two processes."""

FORK_SAMPLED_EVENTS = 4_000
"""Newest events that a fork folds with changed reducers, and with known-bad ones, before it folds
the whole ledger: as many as the judge is given."""

FOLD_EVENTS_PER_S_MIN = 2_000
"""The slowest folding that is waited for. An old core does 17,000, and 3,600 where nine others want
two cores. A million events may take eight minutes, if the budget of the judgment lasts."""

FOLD_STATE_TIMES_MAX = 2
"""How often as large as the parent's state a changed one may be, beyond what is free: a migration
carries along what it no longer uses."""

FOLD_MEMORY_TIMES = 16
"""Bytes of memory for each of the largest state that a fold may hand over, beyond what is free: the
entries as Python has them, and their encodings."""

FORK_EFFECTS_MAX = 256
"""Effects of one turn that are kept in a report: a turn has fewer steps."""
