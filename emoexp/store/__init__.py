"""What lies on disk: artifacts, runs and their records, provenance."""
