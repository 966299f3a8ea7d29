"""Emotion vectors: extraction, fitting, probes, random controls, reliability."""
