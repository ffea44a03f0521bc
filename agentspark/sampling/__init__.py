"""From logits to tokens: parameters, masks, penalties, cuts and draws; pure, no models."""
