"""The slips of what a client requests: a grant, a scope or an action that it is not registered for."""

from __future__ import annotations

from app.playground.slip import GRANT, INTROSPECT, REVOKE, Slip, to_server

SEPARATED = "The words are separated by commas or by two spaces."
SHIPMENTS = "http://127.0.0.1:8001"  # the audience in keyturn.toml
MISSPELT = "A word is misspelt; case counts."

SCOPE_SLIPS = (
    Slip(
        name="unknown-scope", group="scope", title="A scope misspelt",
        question="The scope is `reports:raed`. What comes back?",
        guesses=("A token without a scope", "A token with the default scope", "400 invalid_scope"),
        right=2, request=to_server(GRANT, ("scope", "reports:raed")),
        status=400, error="invalid_scope", check="scope_declared",
        cause=("invalid_scope", MISSPELT),
    ),
    Slip(
        name="scope-in-capitals", group="scope", title="A scope in another case",
        question="The scope is `Reports:Read`. Is it the same?",
        guesses=("Yes: case does not count", "No: it is another word", "Yes, but the token says reports:read"),
        right=1, request=to_server(GRANT, ("scope", "Reports:Read")),
        status=400, error="invalid_scope", check="scope_declared",
        cause=("invalid_scope", MISSPELT),
    ),
    Slip(
        name="scope-too-much", group="scope", title="More scope than the client has",
        question="The client is registered for `reports:read`, and requests `read:logs` as well. What comes back?",
        guesses=("A token for reports:read alone", "A token for both", "400: nothing is dropped silently"),
        right=2, request=to_server(GRANT, ("scope", "reports:read read:logs")),
        status=400, error="invalid_scope", check="scope_registered",
        cause=("invalid_scope", "The client is not registered for one of the words."),
    ),
    Slip(
        name="commas", group="scope", title="Commas in the scope",
        question="Two scopes are separated by a comma. What does the server read?",
        guesses=("Two scopes", "One word that nobody declared", "The first of the two"),
        right=1, client="demo-partner", request=to_server(GRANT, ("scope", "inventory:read,inventory:write")),
        status=400, error="invalid_scope", check="scope_declared", cause=("invalid_scope", SEPARATED),
    ),
    Slip(
        name="two-spaces", group="scope", title="Two spaces in the scope",
        question="Between two scopes there are two spaces. Does that matter?",
        guesses=("Yes: exactly one is allowed", "No: spaces are spaces", "The second scope is lost"),
        right=0, client="demo-partner", request=to_server(GRANT, ("scope", "inventory:read  inventory:write")),
        status=400, error="invalid_scope", check="scope_form", cause=("invalid_scope", SEPARATED),
    ),
    Slip(
        name="two-apis", group="scope", title="Scopes of two APIs",
        question="A client has two scopes, `inventory:read` and `shipments:read`, and requests both. What comes back?",
        guesses=("One token for two APIs", "Two tokens", "400: a token is for one API"),
        right=2, client="demo-partner", request=to_server(GRANT, ("scope", "inventory:read shipments:read")),
        status=400, error="invalid_scope", check="one_resource",
        cause=("invalid_scope", "The words belong to two APIs."),
    ),
    Slip(
        name="resource-with-slash", group="scope", title="A slash at the end of the resource",
        question="The client sends the shipments API as `resource`, with a slash at the end. What comes back?",
        guesses=("A token: it is the same address", "400 invalid_target", "A token without an audience"),
        right=1, client="demo-partner", request=to_server(GRANT, ("resource", SHIPMENTS + "/")),
        status=400, error="invalid_target", check="resource",
        cause=("invalid_target", "Its address differs by a slash at the end."),
    ),
    Slip(
        name="resource-of-another", group="scope", title="An API that the client has no scope of",
        question="`demo-reporting` has no scope of the shipments API, and requests a token for it. What comes back?",
        guesses=("400 invalid_target", "A token for its own API", "A token without a scope"),
        right=0, request=to_server(GRANT, ("resource", SHIPMENTS)),
        status=400, error="invalid_target", check="resource",
        cause=("invalid_target", "The client has no scope of that API."),
    ),
    Slip(
        name="scope-of-another-resource", group="scope", title="A scope and a resource that do not fit",
        question="The scope is `inventory:read`, and the resource is the shipments API. What comes back?",
        guesses=("A token for the scope", "A token for the resource", "400 invalid_target"),
        right=2, client="demo-partner",
        request=to_server(GRANT, ("scope", "inventory:read"), ("resource", SHIPMENTS)),
        status=400, error="invalid_target", check="resource",
        cause=("invalid_target", "The requested scope belongs to another API."),
    ),
    Slip(
        name="two-resources", group="scope", title="Two resources",
        question="`resource` may be sent twice (RFC 8707), and the client names two APIs. What comes back?",
        guesses=("A token for both", "400 invalid_target: a token is for one API", "400: a parameter was sent twice"),
        right=1, client="demo-partner", request=to_server(GRANT, ("resource", SHIPMENTS), ("resource", "urn:other")),
        status=400, error="invalid_target", check="resource",
        cause=("invalid_target", "Two different resources were sent."),
    ),
    Slip(
        name="resource-name", group="scope", title="The resource by its name",
        question="The client sends the name that keyturn.toml has for the API: `resource=shipments`. What comes back?",
        guesses=("A token: names are unique", "A token for the client's own API", "400: it is no absolute URI"),
        right=2, client="demo-partner", request=to_server(GRANT, ("resource", "shipments")),
        status=400, error="invalid_target", check="resource",
        cause=("invalid_target", "It is not an absolute URI, or it has a fragment."),
    ),
    Slip(
        name="password", group="scope", title="The password grant",
        question="A library for logins sends `grant_type=password`, with a name and a password. What comes back?",
        guesses=("A token for that person", "unsupported_grant_type", "invalid_client"),
        right=1, request=to_server(("grant_type", "password"), ("username", "ann"), ("password", "secret")),
        status=400, error="unsupported_grant_type", check="grant_supported",
        cause=("unsupported_grant_type", "A library requests `password` or `authorization_code`."),
    ),
    Slip(
        name="refresh-token", group="scope", title="A refresh token",
        question="The token has expired, and the client tries to refresh it. What comes back?",
        guesses=("A new token", "unsupported_grant_type: there are no refresh tokens", "401: it has expired"),
        right=1, request=to_server(("grant_type", "refresh_token"), ("refresh_token", "none-was-ever-issued")),
        status=400, error="unsupported_grant_type", check="grant_supported",
        cause=("unsupported_grant_type", "It requests `refresh_token`."),
    ),
    Slip(
        name="grant-misspelt", group="scope", title="The grant type misspelt",
        question="The grant is written `client-credentials`, with a dash. What comes back?",
        guesses=("unsupported_grant_type", "A token: it is clear what is meant", "invalid_scope"),
        right=0, request=to_server(("grant_type", "client-credentials")),
        status=400, error="unsupported_grant_type", check="grant_supported",
        cause=("unsupported_grant_type", "The value is misspelt."),
    ),
    Slip(
        name="api-requests-token", group="scope", title="An API that requests a token",
        question="`demo-shipments` is registered as an API that introspects, and requests a token. What comes back?",
        guesses=("A token without a scope", "401 invalid_client", "400 unauthorized_client"),
        right=2, client="demo-shipments", request=to_server(GRANT),
        status=400, error="unauthorized_client", check="grant_allowed",
        cause=("unauthorized_client", "It requests a token, and is registered without a grant."),
    ),
    Slip(
        name="client-introspects", group="scope", title="A client that introspects",
        question="A client wants to see what is in its own token, and introspects it. What comes back?",
        guesses=("The claims of the token", "403 unauthorized_client", '{"active": false}'),
        right=1, client="demo-partner", request=to_server(("token", "{token}"), path=INTROSPECT),
        status=403, error="unauthorized_client", check="resource_server",
        cause=("unauthorized_client", "It introspects a token, and is not registered as a resource server."),
    ),
    Slip(
        name="revokes-anothers", group="scope", title="Another client's token is revoked",
        question="`demo-reporting` found a token of `demo-partner`, and revokes it. What comes back?",
        guesses=("200: a leaked token should end", "400 unauthorized_client", "401 invalid_token"),
        right=1, token_of="demo-partner", request=to_server(("token", "{token}"), path=REVOKE),
        status=400, error="unauthorized_client", check="own_token",
        cause=("unauthorized_client", "It revokes a token of another client."),
    ),
)  # fmt: skip
