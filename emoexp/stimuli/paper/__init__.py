"""The paper's own stimuli: imported on the user's machine and proven by hash; published numbers."""
