"""Block pool, prefix tree, and attention over them."""
