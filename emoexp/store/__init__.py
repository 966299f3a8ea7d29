"""The files on disk: artifacts, runs and their records, provenance."""
