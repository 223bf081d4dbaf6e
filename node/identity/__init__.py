"""Who an agent is: its birth, its SOUL, its kits, new keys in charge, and whom it trusts."""
