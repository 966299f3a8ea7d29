"""What experiments share: the study, the base classes, the result."""
