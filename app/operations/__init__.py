"""What an operator does: the `flask` commands, and the checks when a server starts."""
