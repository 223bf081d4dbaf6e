"""Nostr: the embedded relay, publishing to other relays. A node needs neither to live."""
