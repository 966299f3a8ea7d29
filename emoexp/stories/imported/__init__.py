"""Story corpora that others wrote: where they are, their formats, their rows."""
