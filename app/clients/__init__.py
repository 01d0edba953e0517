"""The clients: their registration, their secrets, and their scopes."""
