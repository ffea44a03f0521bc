"""Chat completions: from a request to the engine and back to replies and chunks."""
