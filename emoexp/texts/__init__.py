"""Texts that are projected on the emotion vectors: where they come from, and what is measured."""
