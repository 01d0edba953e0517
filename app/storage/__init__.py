"""Where it is kept: the database, its migrations, and the one statement that a token costs."""
