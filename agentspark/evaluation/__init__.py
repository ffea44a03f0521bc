"""Drafters compared by real rounds through the engine: how many drafts hold, and what it gains."""
