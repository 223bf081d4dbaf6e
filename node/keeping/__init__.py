"""What keeps a home whole: snapshots, checks, repairs, backups, bundles, redactions."""
