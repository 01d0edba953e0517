"""The conformance table of this checkout, or of a server anywhere.

make conformance                                                  the tests and cases of this checkout
make conformance BASE_URL=https://… CLIENT_ID=… CLIENT_SECRET=…   the cases that any one client can try
"""

from __future__ import annotations

import os
import subprocess
import sys

from conformance import server_runner
from conformance.table import summary, table


def main() -> int:
    given = [os.environ.get(name, "") for name in ("BASE_URL", "CLIENT_ID", "CLIENT_SECRET")]
    if not given[0]:
        return subprocess.run([sys.executable, "-m", "pytest", "--conformance", "-q"], check=False).returncode
    if not all(given):
        sys.stderr.write("With BASE_URL, CLIENT_ID and CLIENT_SECRET are needed too.\n")
        return 2
    try:
        states = server_runner.states(server_runner.Outside(*given))
    except (OSError, server_runner.UnfitClientError) as error:
        sys.stderr.write(f"{given[0]} cannot be tried: {error}\n")
        return 2
    sys.stdout.write("\n".join([*table(states), summary(states.values()), ""]))
    return 1 if "FAIL" in states.values() else 0


if __name__ == "__main__":
    sys.exit(main())
