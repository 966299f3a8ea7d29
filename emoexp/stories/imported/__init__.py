"""Import of story corpora that others wrote: their places, formats and rows."""
