"""Helpers behind the notebooks: one subject a file, imported as `from helpers import puzzles`."""
