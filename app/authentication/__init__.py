"""How a client proves who it is, and how often it may try."""
