"""The page on which the flow can be seen, in development only."""
