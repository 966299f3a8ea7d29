"""Figures, from the tables of a saved run."""
