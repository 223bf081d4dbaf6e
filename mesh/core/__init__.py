"""Nostr events, filters and identifiers: bytes and values in, values out."""
