"""What goes wrong without a request that a page could send, each with the reason, some with a command."""

from __future__ import annotations

from app.playground.slip import Elsewhere

BUSY = "With 429: too many wrong secrets, or more requests than the client may make."
BUSY_KEYS = "With 503: the keys of the client are being fetched, and enough requests wait."

ELSEWHERE = (
    Elsewhere(
        title="Another host",
        why="This page may send requests to its own server only: its Content-Security-Policy forbids any other.",
        command='curl -sS -d grant_type=client_credentials http://127.0.0.1:1/oauth/token',
        prints="curl: (7) Failed to connect to 127.0.0.1 port 1",
    ),
    Elsewhere(
        title="https where the server speaks http",
        why="A browser refuses this before any byte is sent to the application.",
        command='curl -sS -d grant_type=client_credentials "https://{authority}/oauth/token"',
        prints="curl: (35)",
    ),
    Elsewhere(
        title="A body that ends too early",
        why="A browser sets Content-Length itself, and forbids a page to set it.",
        command='curl -sS -m 2 -H "Content-Length: 500" -d grant_type=client_credentials "{issuer}/oauth/token"',
        prints="curl: (28) Operation timed out",
    ),
    Elsewhere(
        title="Plain http in production",
        why="This page exists in development only, where plain http on loopback is allowed.",
        cause=("invalid_request", "Plain http was used in production."),
    ),
    Elsewhere(
        title="A secret that has ended",
        why="An operator has to rotate a secret, and no demo client has two.",
        command="flask clients rotate-secret CLIENT --overlap 60",
        cause=("invalid_client", "The secret ended after a rotation."),
    ),
    Elsewhere(
        title="A client for another method",
        why="Every demo client may send its secret in either way.",
        command="flask clients create NAME --scope reports:read --auth-method client_secret_post",
        cause=("invalid_client", "The client is registered for another method."),
    ),
    Elsewhere(
        title="A client that is disabled",
        why="An operator has to disable a client.",
        command="flask clients disable CLIENT",
        cause=("invalid_client", "The client is disabled or was deleted."),
    ),
    Elsewhere(
        title="A scope that was added to keyturn.toml",
        why="Somebody has to change the file on the server's machine.",
        cause=("invalid_scope", "The word was added to keyturn.toml after the server started, or was removed."),
    ),
    Elsewhere(
        title="Two clocks that differ",
        why="The server that issues the token and the one that checks it are the same here.",
        cause=("invalid_token", "The clocks of two machines differ."),
    ),
    Elsewhere(
        title="A key that was withdrawn",
        why="It takes more than one request: step 5 does it.",
        cause=("invalid_token", "It was signed with a key that was withdrawn."),
    ),
    Elsewhere(
        title="A rule of the API's own",
        why="No route of the sample API has one.",
        cause=("access_denied", "The API has a rule of its own, such as whose data a client may read."),
    ),
    Elsewhere(
        title="An address without the issuer's path",
        why="It takes an issuer that has a path, which `KEYTURN_ISSUER` sets.",
        cause=("not_found", "The issuer has a path, and the address lacks it."),
    ),
    Elsewhere(
        title="Too many requests",
        why="It takes more than 60 wrong secrets in a minute, and every button here would then show 429.",
        cause=("temporarily_unavailable", BUSY),
    ),
    Elsewhere(
        title="A database that does not respond",
        why="The database has to fail.",
        cause=("temporarily_unavailable", "With 503: the database does not respond."),
    ),
    Elsewhere(
        title="Keys that are being fetched",
        why="No demo client has its keys elsewhere.",
        cause=("temporarily_unavailable", BUSY_KEYS),
    ),
    Elsewhere(
        title="A server that is not prepared",
        why="This server is prepared: it has a signing key.",
        cause=("temporarily_unavailable", "With 503: `flask prepare` was not run, or there is no signing key."),
    ),
    Elsewhere(
        title="A failure of the server",
        why="No known request causes one.",
        cause=("server_error", "The log has the cause."),
    ),
)  # fmt: skip
