"""What an operator types: `flask clients …`, `flask keys …`."""
