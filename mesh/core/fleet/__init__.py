"""What the members of a fleet decide: who is one, who does a run, who answers, who lied."""
