"""What a witness answers to a head, and how one is asked."""
