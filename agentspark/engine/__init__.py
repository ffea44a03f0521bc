"""Requests, verification, grammars, the loop, and the public engine."""
