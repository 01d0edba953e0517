"""How a token is checked, and what it opens."""
