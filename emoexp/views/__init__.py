"""Views of one saved run: the terminal, the comparison with the paper, transcripts."""
