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
