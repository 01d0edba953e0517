"""The sample API: the guard, and the routes that it guards."""
