"""Emotion vectors: extraction, fitting, probes, logit lens, random controls, reliability."""
