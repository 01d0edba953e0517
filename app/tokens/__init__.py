"""How a token is issued and described, and how the server knows its own again."""
