"""Other relays, any number of them as one: connections, a queue on disk, what is known."""
