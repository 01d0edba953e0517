"""What the server says of itself: metadata, keys, descriptions, pages on errors."""
