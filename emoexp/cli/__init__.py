"""Command line: Hydra, sweeps, status, W&B."""
