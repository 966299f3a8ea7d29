"""Steering: preferences, replay, continuations, and where generated text degenerates."""
