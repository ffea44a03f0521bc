"""Legacy completions: raw prompts continued."""
