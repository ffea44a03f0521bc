"""Prompts files: one format, read alike by every command, and the tokens that a prompt becomes."""
