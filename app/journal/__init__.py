"""The journal of a development server: what each request sent, one entry per request, and its line on the terminal."""
