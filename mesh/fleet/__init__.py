"""The fleet bus and what travels on it: presence, and who does a planned run."""
