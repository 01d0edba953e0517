"""Start a program with an open socket as its file 3, as systemd does (sd_listen_fds):

python tests/support/activated.py FD COMMAND…
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    os.dup2(int(sys.argv[1]), 3, inheritable=True)
    os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
    os.execvp(sys.argv[2], sys.argv[2:])
