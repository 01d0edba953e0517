"""Why something was refused, in words: for the caller, for the operator, for who reads about it."""
