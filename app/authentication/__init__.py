"""How a client authenticates, and how often it may try."""
