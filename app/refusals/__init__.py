"""Why not: the codes, the errors, and how each becomes a response."""
