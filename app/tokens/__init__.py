"""What a token is: how it is issued, stored and checked."""
