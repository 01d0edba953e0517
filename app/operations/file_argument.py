"""A file that is named on a command line, and must be there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class FileArgument(click.Path):
    """A path, with what the system says: click calls a file that it cannot reach one that does not exist."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            os.stat(value)
        except OSError as error:
            if not (value == "-" and self.allow_dash):
                self.fail(f"{value}: {error.strerror}.", param, ctx)
        return super().convert(value, param, ctx)


FILE = FileArgument(exists=True, dir_okay=False, path_type=Path)
FILE_OR_DASH = FileArgument(exists=True, dir_okay=False, allow_dash=True)  # `-` is standard input
