"""How fast emoexp is, as ratios within one run: against what a user would do otherwise, and against
what the hardware allows."""
