"""The control plane: `core` is a pure state machine, the rest is the shell around it."""
