"""The agent's way to the broker: one stream that it dials, and a few calls beside it."""
