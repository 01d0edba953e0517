"""The signing keys: their states, their encryption at rest, and their rotation."""
