"""Tools: what a model may call, how it writes calls, and reading them from its text."""
