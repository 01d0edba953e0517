"""Where the secrets of new clients go, before the clients exist.

A secret is delivered first, and its client is created afterwards: a failure in between leaves a secret that opens
nothing, and never a client whose secret nobody has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from app.clients.applying import ChangedMeanwhileError, NewSecret
from app.clients.registration_rules import RegistrationError
from app.logs import one_line
from app.operations.exit_codes import FailedError
from app.operations.new_private_file import write_new

COMMAND_SECONDS = 60
ALL_COMMANDS_SECONDS = 300
UNSEEN = (
    "new clients would get {count} secrets, which are printed on a terminal only, without --json: "
    "say where they go with --secrets-to FILE or --secrets-to-command COMMAND. Nothing was changed"
)
NOT_KNOWN = (
    "The secrets were delivered, and whether their clients were created is not known. Repeat the command (with another "
    "file): it creates those that are missing. A secret counts if `flask clients list` shows its client_id."
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the secrets of new clients go: a new file, `-` for standard output, a command, or the terminal."""

    to_file: str | None = None
    to_command: str | None = None
    as_json: bool = False  # then standard output has one document, without secrets

    def __post_init__(self) -> None:
        if self.to_file is not None and self.to_command is not None:
            raise click.UsageError("a secret goes to one place: --secrets-to or --secrets-to-command")
        if self.to_file == "-" and self.as_json:
            raise click.UsageError("--json prints one document without secrets: name a file for --secrets-to")

    @contextmanager
    def before(self, secrets: Sequence[NewSecret]) -> Iterator[None]:
        """Deliver the secrets before their clients are created inside; if that fails, say what that means.

        Raises:
            RegistrationError: If there is nowhere to deliver them.
            FailedError: If not all could be delivered, or the register was changed meanwhile.
        """
        if secrets:
            self.deliver(secrets)
        try:
            yield
        except ChangedMeanwhileError as error:
            if secrets:
                self.take_back()
            raise FailedError(str(error)) from error
        except BaseException:
            if secrets:
                click.echo(NOT_KNOWN, err=True)
            raise

    def deliver(self, secrets: Sequence[NewSecret]) -> None:
        if self.to_command is not None:
            run_for_each(self.to_command, secrets)
        elif self.to_file not in (None, "-"):
            lines = "".join(line(each) + "\n" for each in secrets)
            write_new(Path(str(self.to_file)), lines.encode())
        elif self.to_file == "-" or (sys.stdout.isatty() and not self.as_json):
            show(secrets, as_lines=self.to_file == "-")
        else:
            raise RegistrationError(UNSEEN.format(count=len(secrets)))

    def take_back(self) -> None:
        click.echo("The new secrets open nothing: their clients were not created.", err=True)
        if self.to_file not in (None, "-"):
            Path(str(self.to_file)).unlink(missing_ok=True)


def line(secret: NewSecret) -> str:
    return json.dumps({"client_id": secret.client_id, "name": secret.name, "client_secret": secret.plaintext})


def show(secrets: Sequence[NewSecret], *, as_lines: bool) -> None:
    """Print the secrets, and make sure that they are printed."""
    for each in secrets:
        click.echo(
            line(each) if as_lines else f"{each.name}: client_id {each.client_id} client_secret {each.plaintext}"
        )
    if not as_lines:
        click.echo("A secret is shown only once: store it with your other secrets.")
    sys.stdout.flush()


def run_for_each(command: str, secrets: Sequence[NewSecret]) -> None:
    """Run a command of the shell for each secret: the secret is its standard input, without a newline."""
    end = time.monotonic() + ALL_COMMANDS_SECONDS
    for each in secrets:
        # Not KEYTURN_…: another `flask` command would take that for a setting.
        environment = os.environ | {"CLIENT_ID": each.client_id, "CLIENT_NAME": each.name}
        seconds = max(0.0, min(COMMAND_SECONDS, end - time.monotonic()))
        try:
            done = subprocess.run(  # noqa: S602, the operator's own command, for the operator's shell
                command,
                shell=True,
                check=False,
                env=environment,
                input=each.plaintext.encode(),
                stdout=subprocess.PIPE,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"the command for {each.name} has not ended in time. Nothing was changed") from error
        click.echo(done.stdout.decode(errors="replace"), err=True, nl=False)
        if done.returncode:
            raise FailedError(
                one_line(f"the command for {each.name} ended with {done.returncode}. Nothing was changed")
            )
