"""What keeps a server running, and lets others see what it does."""
