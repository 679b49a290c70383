"""Sources of replay, one a file."""
