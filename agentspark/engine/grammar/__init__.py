"""What an output must look like, enforced token by token with llguidance's matcher."""
