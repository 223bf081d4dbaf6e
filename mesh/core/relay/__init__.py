"""What our relay decides, without a connection or a disk."""
