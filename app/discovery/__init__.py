"""What the server publishes about itself: metadata, keys, OpenAPI, error pages."""
