"""Training drafters: responses, features, objective, loop, measurement."""
