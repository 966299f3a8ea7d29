"""The blackmail evaluation: conditions, trials, judgements, rates and transcripts."""
