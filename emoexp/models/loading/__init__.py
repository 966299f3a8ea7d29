"""From a repository to a network: files, memory, errors of the hub."""
