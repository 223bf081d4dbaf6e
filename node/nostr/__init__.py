"""The node on relays: heads and souls go out, sealed messages and the bridge both ways."""
