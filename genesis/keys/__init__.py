"""Secrets: where they come from, the files that hold them, and the passphrase that opens those."""
