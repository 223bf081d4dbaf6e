"""The offline verifier: a file and a SOUL.md in, a report out. No home, no network, no clock."""
