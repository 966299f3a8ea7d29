"""Statistics: intervals, ratings, criteria, from arrays and tables; no model and no files."""
