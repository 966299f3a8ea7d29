"""Intervals, ratings, criteria: numbers in, numbers out; no model and no files."""
