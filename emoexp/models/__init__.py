"""The subject model: loading, prompts, residuals, steering, generation."""
