"""The slips at the API: a token that is missing, altered, expired, or not for this route."""

from __future__ import annotations

from app.playground.slip import Request, Slip, to_api

CUT_OFF = ("invalid_token", "It is cut off, or in quotes.")

TOKEN_SLIPS = (
    Slip(
        name="no-token", group="token", title="No token",
        question="A client calls the API without a token. Which error code does the response have?",
        guesses=("invalid_token", "access_denied", "None: there is nothing to be wrong"),
        right=2, request=to_api(""), status=401, error=None, check="bearer",
        remedy="Send the token as `Authorization: Bearer TOKEN`.",
    ),
    Slip(
        name="api-header-misspelt", group="token", title="The header's name misspelt, at the API",
        question="The token is good, and is in a header called `Authorisation`. What comes back?",
        guesses=("The report", "401, as without any token", "400: an unknown header"),
        right=1,
        request=Request(method="GET", path="/internal/reports", headers=(("Authorisation", "Bearer {token}"),)),
        status=401, error=None, check="bearer", remedy="It is `Authorization`, with a z.",
    ),
    Slip(
        name="no-scheme", group="token", title="The token without Bearer",
        question="The header is `Authorization: eyJ…`, without the word Bearer. What comes back?",
        guesses=("The report", "401, as without any token", "400: the header is malformed"),
        right=1, request=to_api("{token}"), status=401, error=None, check="bearer",
        remedy="Write `Bearer`, one space, and the token.",
    ),
    Slip(
        name="basic-at-api", group="token", title="The secret instead of a token",
        question="A client sends its id and secret to the API, and skips the token. What comes back?",
        guesses=("401: the API accepts tokens only", "The report: the secret is right", "403 insufficient_scope"),
        right=0,
        request=Request(method="GET", path="/internal/reports", basic=("{client_id}", "{secret}")),
        status=401, error=None, check="bearer", remedy="Request a token first, and send that.",
    ),
    Slip(
        name="two-words", group="token", title="A space in the token",
        question="A line break was copied with the token, and became a space. What comes back?",
        guesses=("The report", "400 invalid_request", "401 invalid_token"),
        right=1, request=to_api("Bearer {half_token} {half_token}"),
        status=400, error="invalid_request", check="one_word",
        remedy="Send the token as one word, with nothing after it.",
    ),
    Slip(
        name="half-token", group="token", title="Half a token",
        question="The terminal showed one line of the token, and the rest was not copied. What comes back?",
        guesses=("401 invalid_token", "400 invalid_request", "The report: the header was complete"),
        right=0, request=to_api("Bearer {half_token}"), status=401, error="invalid_token", check="jwt", cause=CUT_OFF,
    ),
    Slip(
        name="token-in-quotes", group="token", title="The token in quotes",
        question="The token came out of a JSON file with its quotes. What comes back?",
        guesses=("The report: quotes are removed", "400 invalid_request", "401 invalid_token"),
        right=2, request=to_api('Bearer "{token}"'), status=401, error="invalid_token", check="jwt", cause=CUT_OFF,
    ),
    Slip(
        name="tampered", group="token", title="A token with one character changed",
        question="Someone changes one character of the claims, in order to get more. What notices it?",
        guesses=("The scope", "The signature", "Nothing, until it expires"),
        right=1, request=to_api("Bearer {tampered_token}"), status=401, error="invalid_token", check="signature",
        remedy="Request a new token: nobody without the key can change one.",
    ),
    Slip(
        name="expired", group="token", title="An expired token",
        question="The tokens of `demo-brief` live for two seconds. It waits, then calls the API. What comes back?",
        guesses=("The log: a minute is tolerated", "401 invalid_token", "A new token"),
        right=1, client="demo-brief", request=to_api("Bearer {expired_token}", path="/admin/logs"),
        status=401, error="invalid_token", check="exp", cause=("invalid_token", "It has expired."),
    ),
    Slip(
        name="revoked", group="token", title="A revoked token",
        question="The client revokes its token, and then uses it. The signature is still valid. What comes back?",
        guesses=("The report: the signature is valid", "The report, until it expires", "401 invalid_token"),
        right=2, request=to_api("Bearer {revoked_token}"), status=401, error="invalid_token", check="not_revoked",
        cause=("invalid_token", "It was revoked, or its client was disabled or deleted."),
    ),
    Slip(
        name="another-api", group="token", title="A token for another API",
        question="The `aud` of the token is the shipments API, and the token is sent to this one. What comes back?",
        guesses=("403 insufficient_scope", "401 invalid_token", "The stock: the server is the same"),
        right=1, client="demo-partner", scope="shipments:read", request=to_api("Bearer {token}", path="/inventory"),
        status=401, error="invalid_token", check="aud", cause=("invalid_token", "It is for another API."),
    ),
    Slip(
        name="wrong-route", group="token", title="A scope that the client does not have",
        question="`demo-reporting` calls `/admin/logs`, with a good token for `reports:read`. What comes back?",
        guesses=("401 invalid_token", "403 insufficient_scope", "404: the route is hidden from it"),
        right=1, request=to_api("Bearer {token}", path="/admin/logs"),
        status=403, error="insufficient_scope", check="scope",
        cause=("insufficient_scope", "The client is not registered for it."),
    ),
    Slip(
        name="scope-too-small", group="token", title="A scope that is too small",
        question="A client may read and write the stock. It requests a token for reading, and writes. What comes back?",
        guesses=("200: the client may write", "401 invalid_token", "403, and the scope that is needed"),
        right=2, client="demo-partner", scope="inventory:read",
        request=to_api("Bearer {token}", method="PUT", path="/inventory/pallet-7", body='{"quantity": 12}'),
        status=403, error="insufficient_scope", check="scope",
        cause=("insufficient_scope", "The token was requested with less scope than the client has."),
    ),
    Slip(
        name="token-in-url", group="token", title="The token in the URL",
        question="The token is in the URL, as `access_token`. What comes back?",
        guesses=("400: one way of sending a token", "The report", "401, as without any token"),
        right=0, request=to_api("", path="/internal/reports?access_token={token}"),
        status=400, error="invalid_request", check="token_in_header",
        cause=("invalid_request", "A parameter is in the URL."),
    ),
    Slip(
        name="bad-parameter", group="token", title="A good token, a bad parameter",
        question="The token is good, and `hours=many` is no number. What comes back?",
        guesses=("The report of the last day", "400 invalid_request", "401 invalid_token"),
        right=1, request=to_api("Bearer {token}", path="/internal/reports?hours=many"),
        status=400, error="invalid_request", check="route",
        remedy="The description names the parameter and its limits.",
    ),
)  # fmt: skip
