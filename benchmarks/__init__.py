"""Speed measurements, each a command: ``python -m benchmarks --only NAME`` from the repository."""
