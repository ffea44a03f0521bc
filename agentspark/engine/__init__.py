"""Requests, sampling, verification, the loop, and the public engine."""
