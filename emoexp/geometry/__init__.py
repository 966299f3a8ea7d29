"""Geometry of the emotion vectors: cosines, principal components, axes, pairs."""
