"""What is copied of a log, in which order, and how it is checked."""
