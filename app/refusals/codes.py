"""Every error code: one table for responses, pages, docs/errors.md and `flask explain`."""

from __future__ import annotations

from app.refusals import assertion_causes
from app.refusals import example_requests as curl
from app.refusals.error_code import Code

CODES = {
    "invalid_request": Code(
        400,
        "The request is malformed.",
        "The request is malformed: something is missing, sent twice, too long, or in the wrong place. "
        "The description names what.",
        (
            ("The parameters were sent as JSON.", "Send a form: `Content-Type: application/x-www-form-urlencoded`."),
            ("The body is compressed.", "Send it without `Content-Encoding`."),
            ("A parameter is in the URL.", "Send it in the body: URLs end up in logs."),
            ("A parameter was sent twice.", "Send each once; an HTTP library may add one that you also add by hand."),
            (
                "Credentials were sent in two ways, such as Basic and `client_secret`.",
                "Choose one. Many libraries send Basic by default.",
            ),
            ("The body is not UTF-8.", "Encode it as UTF-8, and percent-encode anything that is not ASCII."),
            ("GET was used.", "The endpoints below `/oauth/` take POST only."),
            ("Plain http was used in production.", "Use https; the operator checks `KEYTURN_TRUSTED_PROXIES`."),
            *assertion_causes.rows("invalid_request"),
        ),
        curl.REQUEST,
        "RFC 6749, section 5.2",
        (405, 413, 415),
    ),
    "invalid_client": Code(
        401,
        "Client authentication failed. Check the client id, the credentials and the method.",
        "The client was not authenticated. An unknown client and a wrong secret get the same response, "
        "so that nobody can find out which clients exist; `flask explain` shows the operator the true reason.",
        (
            ("No secret was sent at all.", "Send the id and the secret, with Basic or in the form, or an assertion."),
            (
                "The secret starts or ends with a space or newline.",
                "Trim it: `--data-urlencode client_secret@secret.txt` brings the newline of the file.",
            ),
            ("The secret is percent-encoded twice, or is in quotes.", "Send it exactly as it was shown."),
            (
                "The id and the secret are swapped.",
                "A secret begins with `kts_`, an id with `ktc_`; a demo client's id is a name, such as `demo-admin`.",
            ),
            ("The secret ended after a rotation.", "Use the newest; `flask clients show CLIENT` lists when each ends."),
            (
                "The client is registered for another method.",
                "Send Basic for `client_secret_basic`, the form for `client_secret_post`, or an assertion.",
            ),
            (
                "The client is disabled or was deleted.",
                "Ask the operator: `flask clients enable CLIENT`, or register it again.",
            ),
            *assertion_causes.rows("invalid_client"),
        ),
        f'curl -s {curl.GRANT} {curl.IN_FORM} "$ISSUER/oauth/token"',
        "RFC 6749, section 5.2",
    ),
    "unauthorized_client": Code(
        400,
        "This client is not registered for the grant type client_credentials.",
        "The client is authenticated, but may not do this.",
        (
            (
                "It requests a token, and is registered without a grant.",
                "Register a client with `--scope`; an API registered with `--resource-server` alone gets no tokens.",
            ),
            (
                "It introspects a token, and is not registered as a resource server.",
                "Use the credentials of the API: `flask clients create NAME --resource-server AUDIENCE`.",
            ),
            ("It revokes a token of another client.", "Only the client that a token was issued to can revoke it."),
        ),
        'curl -s -u "$API_ID:$API_SECRET" -d "token=$TOKEN" "$ISSUER/oauth/introspect"',
        "RFC 6749, section 5.2",
        (403,),
    ),
    "unsupported_grant_type": Code(
        400,
        "This server supports one grant type: client_credentials.",
        "This server is for machines and has one grant.",
        (
            ("A library requests `password` or `authorization_code`.", "Those are for people: choose another flow."),
            ("It requests `refresh_token`.", "There is none: request a new token with the id and the secret."),
            ("The value is misspelt.", "It is `client_credentials`, with an underscore."),
        ),
        curl.REQUEST,
        "RFC 6749, section 5.2",
    ),
    "invalid_scope": Code(
        400,
        "The scope is malformed, unknown, or more than this client is registered for.",
        "The requested scope cannot be granted, and nothing is ever dropped silently.",
        (
            ("A word is misspelt; case counts.", "The metadata lists all: `scopes_supported`."),
            ("The client is not registered for one of the words.", "`flask clients show CLIENT` lists its scope."),
            (
                "The word was added to keyturn.toml after the server started, or was removed.",
                "Restart the server; `flask prepare` names clients whose scope is not declared.",
            ),
            ("The words belong to two APIs.", "A token is for one API: request one for each."),
            ("The words are separated by commas or by two spaces.", "Separate them by exactly one space."),
        ),
        curl.REQUEST_WITH_SCOPE,
        "RFC 6749, sections 3.3 and 5.2",
    ),
    "invalid_target": Code(
        400,
        "The resource is malformed, unknown, or not an API of this client.",
        "The parameter `resource` names an API for which this client cannot get a token.",
        (
            ("Its address differs by a slash at the end.", "Send the audience as keyturn.toml has it."),
            ("The client has no scope of that API.", "`flask clients show CLIENT` lists its scope."),
            ("The requested scope belongs to another API.", "Request a scope of the API, or leave `scope` out."),
            ("Two different resources were sent.", "A token is for one API: request one for each."),
            ("It is not an absolute URI, or it has a fragment.", "Send the whole address, without `#`."),
        ),
        curl.REQUEST_WITH_RESOURCE,
        "RFC 8707, section 2",
    ),
    "invalid_token": Code(
        401,
        "The access token is expired, malformed, or not meant for this API. Request a new one.",
        "The API does not accept the access token.",
        (
            ("It has expired.", "Request a new one when `expires_in` seconds are over, or when you get this response."),
            ("It was revoked, or its client was disabled or deleted.", "Request a new one."),
            ("It is for another API.", "Request one with a scope of this API; the `aud` of the token follows from it."),
            ("It is cut off, or in quotes.", "Send all of it, without quotes."),
            ("The clocks of two machines differ.", "Synchronize them: they may differ by at most 60 seconds."),
            ("It was signed with a key that was withdrawn.", "Request a new one."),
        ),
        'curl -s -H "Authorization: Bearer $TOKEN" "$ISSUER/inventory"',
        "RFC 6750, section 3.1",
    ),
    "insufficient_scope": Code(
        403,
        "The access token does not have the scope that this request needs.",
        "The access token is valid, but lacks the scope. The `WWW-Authenticate` header names the scope that is needed.",
        (
            ("The token was requested with less scope than the client has.", "Request what the header names."),
            ("The client is not registered for it.", "The operator adds it with `flask clients update`."),
        ),
        curl.REQUEST_WITH_SCOPE,
        "RFC 6750, section 3.1",
    ),
    "access_denied": Code(
        403,
        "The request is not allowed.",
        "The access token is valid, but the API does not allow this request. No other scope would change that.",
        (("The API has a rule of its own, such as whose data a client may read.", "Ask the operator of the API."),),
        curl.REQUEST,
        "RFC 6749, section 4.1.2.1",
    ),
    "not_found": Code(
        404,
        "There is nothing at this address.",
        "There is nothing at this address.",
        (
            ("The path has a trailing or double slash.", "Paths are exact; there are no redirects."),
            ("The path is misspelt.", "In development the member `hint` names the nearest address."),
            (
                "The client expects OpenID Connect.",
                "Configure it to read the OAuth metadata (RFC 8414) at the address below.",
            ),
            ("The issuer has a path, and the address lacks it.", "Take the addresses from the metadata."),
        ),
        'curl -s "$METADATA"',
        "our own code; no RFC defines it",
    ),
    "temporarily_unavailable": Code(
        503,
        "The server cannot respond right now. Try again in a few seconds.",
        "The server cannot respond right now, or got too many requests. `Retry-After` says when to try again.",
        (
            (
                "With 429: too many wrong secrets, or more requests than the client may make.",
                "Use a token until it expires instead of requesting one each time; fix the secret before retrying.",
            ),
            ("With 503: the database does not respond.", "The log names it; the server recovers by itself."),
            *assertion_causes.rows("temporarily_unavailable"),
            ("With 503: `flask prepare` was not run, or there is no signing key.", "Run `flask prepare`."),
        ),
        f'curl -s --retry 5 {curl.CREDENTIALS} {curl.GRANT} "$ISSUER/oauth/token"',
        "RFC 6749, section 4.1.2.1, and RFC 6585, section 4",
        (429,),
    ),
    "server_error": Code(
        500,
        "The server failed. Its log has the cause, under the request id of this response.",
        "The server failed unexpectedly. The fault is the server's, not the caller's.",
        (("The log has the cause.", "Find the `X-Request-Id` of the response there, and report it."),),
        'curl -s "$METADATA"',
        "RFC 6749, section 4.1.2.1",
    ),
}
