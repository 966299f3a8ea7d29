"""Steering: preferences, replay, continuations, self-report, drift, degeneration of text."""
