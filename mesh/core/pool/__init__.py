"""What our side of a relay connection decides, without a connection."""
