"""All commands of an operator, as `flask --help` lists them; `database_commands.py` adds those of `flask db`."""

from __future__ import annotations

from flask import Flask

from app.operations import client_key_commands, client_trust_commands, secret_commands
from app.operations.apply_command import apply
from app.operations.audit_commands import audit
from app.operations.backup_command import backup
from app.operations.cleanup import cleanup
from app.operations.client_commands import clients
from app.operations.doctor_command import doctor
from app.operations.explain_command import explain
from app.operations.import_command import import_clients
from app.operations.key_commands import keys
from app.operations.prepare import prepare
from app.operations.restore_command import restore
from app.operations.tail_command import tail
from app.operations.throwaway_command import throwaway
from app.operations.token_commands import tokens

GROUPS = (clients, tokens, keys, audit)
COMMANDS = (prepare, apply, doctor, explain, cleanup, backup, restore, tail, throwaway)
# In the group `clients`, beside those of `client_commands.py`.
OF_CLIENTS = (
    import_clients,
    secret_commands.secrets,
    secret_commands.rotate_secret,
    secret_commands.update_secret,
    secret_commands.revoke_secret,
    secret_commands.ending,
    secret_commands.stale,
    client_key_commands.keys,
    client_key_commands.add_key,
    client_key_commands.remove_key,
    client_trust_commands.trusts,
    client_trust_commands.trust,
    client_trust_commands.untrust,
)


def init_app(app: Flask) -> None:
    for command in OF_CLIENTS:
        clients.add_command(command)
    for command in (*GROUPS, *COMMANDS):
        app.cli.add_command(command)
