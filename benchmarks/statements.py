"""What a statement costs through the driver and through SQLAlchemy Core: `python -m benchmarks.statements [URL]`.

Both run in one process and in turn, on a database of their own: SQLite in a temporary folder, or the PostgreSQL at
URL. Core has every advantage: one open connection in AUTOCOMMIT, and its cache of compiled statements.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from types import FrameType

from sqlalchemy.orm import Session

from app import create_app
from app.clients.client_row import ClientRow
from app.clients.registry import FIND_CLIENT
from app.clients.secret import ClientSecret
from app.settings import read_settings
from app.storage.database import Base, db
from app.storage.fast_statement import Statement, current_connections
from app.tokens.checking import FIND_CLIENT_OF_JWT

ROUNDS, TIMES = 7, 2_000


def calls(run: Callable[[], object]) -> int:
    count = 0

    def profile(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    run()
    sys.setprofile(None)
    return count


def microseconds(run: Callable[[], object]) -> float:
    """CPU time of this thread for one run."""
    begin = time.thread_time()
    for _ in range(TIMES):
        run()
    return (time.thread_time() - begin) / TIMES * 1e6


def compare(name: str, statement: Statement, values: dict[str, str]) -> None:
    core_connection = current_connections()._engine.connect()
    ways: dict[str, Callable[[], object]] = {
        "driver": lambda: statement.run(**values),
        "Core": lambda: core_connection.execute(statement.written, values).all(),
    }
    for run in ways.values():
        microseconds(run)  # warm
    taken = [{way: microseconds(run) for way, run in ways.items()} for _ in range(ROUNDS)]
    for way, run in ways.items():
        cost = min(each[way] for each in taken)
        sys.stdout.write(f"{name:20} {way:7} {cost:6.1f} µs  {calls(run):4} Python calls\n")
    core_connection.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = sys.argv[1] if sys.argv[1:] else f"sqlite:///{folder}/statements.db"
        app = create_app(read_settings({"KEYTURN_DATABASE_URL": url}))
        with app.app_context():
            Base.metadata.create_all(db.engine)
            with Session(db.engine) as session:
                words = {"scope": "a b", "default_scope": "a", "grant_types": "x", "token_format": "jwt"}
                secret = ClientSecret(name="secret-1", digest=bytes(32))
                session.add(ClientRow(client_id="measured", name="measured", claims={}, secrets=[secret], **words))
                session.commit()
            compare("a client's secrets", FIND_CLIENT, {"client_id": "measured"})
            compare("a JWT's client", FIND_CLIENT_OF_JWT, {"client_id": "measured", "jti": "none"})
            current_connections().close()
            Base.metadata.drop_all(db.engine)
            db.engine.dispose()


if __name__ == "__main__":
    main()
