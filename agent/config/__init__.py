"""`agent.yaml`: what the operator of a site may write, read with all its errors at once."""
