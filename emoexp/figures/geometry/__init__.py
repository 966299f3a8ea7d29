"""Figures of the geometry of emotion vectors."""
