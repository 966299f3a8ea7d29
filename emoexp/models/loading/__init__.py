"""Loads a network from a repository: files, memory, errors of the hub."""
