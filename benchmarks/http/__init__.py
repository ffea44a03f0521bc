"""Measurements of the server: what HTTP costs, many streams, hours of abuse, random requests."""
