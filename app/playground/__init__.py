"""The playground: a page that shows the flow, in development only."""
