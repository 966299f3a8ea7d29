"""The bundled organisms: a small world with known latents, and the models trained on it."""
