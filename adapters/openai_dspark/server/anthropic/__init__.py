"""Anthropic's Messages API, as far as a text model can serve it."""
