"""What we sign with: keys, their life, and their publication."""
