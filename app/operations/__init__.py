"""What an operator does: every `flask` command, and the checks at start."""
