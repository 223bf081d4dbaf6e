"""Our own Nostr relay: connections, group commit, its store."""
