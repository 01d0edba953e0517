"""The sample API: the guard, and the routes behind it."""
