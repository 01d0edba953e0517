"""What keeps a server running: the removal of what has expired."""
