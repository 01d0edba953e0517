"""What each request sent: one entry per request, in development only, and the line that the terminal shows of it."""
