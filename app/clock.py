"""This file is the only clock."""

import time


def now() -> int:
    """The present moment in whole seconds since the epoch, as in a JWT (RFC 7519, NumericDate)."""
    return int(time.time())
