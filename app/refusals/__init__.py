"""Why a request is refused: error codes, exceptions, and how each becomes a response."""
