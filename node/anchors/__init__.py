"""Bitcoin wired to the ledger: seals, stamps, aggregation, and the evidence that is kept."""
