"""Keys that are elsewhere: key sets behind an address or in a file, fetched with care."""
