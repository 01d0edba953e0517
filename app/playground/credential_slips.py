"""The slips of client authentication: a secret that is wrong, altered on its way, or in the wrong place."""

from __future__ import annotations

from app.playground.slip import GRANT, Request, Slip, to_server

SHAPE = "The secret is percent-encoded twice, or is in quotes."
SPACE = "The secret starts or ends with a space or newline."

CREDENTIAL_SLIPS = (
    Slip(
        name="no-credentials", group="credentials", title="No credentials at all",
        question="A client requests a token without saying who it is. What comes back?",
        guesses=("A token without a scope", "401 invalid_client", "400 invalid_request"),
        right=1, request=to_server(GRANT, basic=None), status=401, error="invalid_client", check="credentials",
        cause=("invalid_client", "No secret was sent at all."),
    ),
    Slip(
        name="id-alone", group="credentials", title="The id without the secret",
        question="A client sends its `client_id` alone, as a public client would. What comes back?",
        guesses=("A token: the client exists", "401: an id proves nothing", "A request for the secret"),
        right=1, request=to_server(GRANT, ("client_id", "{client_id}"), basic=None),
        status=401, error="invalid_client", check="credentials",
        cause=("invalid_client", "No secret was sent at all."),
    ),
    Slip(
        name="empty-secret", group="credentials", title="An empty secret",
        question="The variable with the secret is not set, so `client_secret` is empty. What does the hint say?",
        guesses=("The secret is wrong", "No secret was sent", "The client is unknown"),
        right=1, request=to_server(GRANT, ("client_id", "{client_id}"), ("client_secret", ""), basic=None),
        status=401, error="invalid_client", check="credentials", cause=("invalid_client", "No secret was sent at all."),
    ),
    Slip(
        name="wrong-secret", group="credentials", title="A wrong secret",
        question="The id is right, and the secret is wrong. Does the error say that the client exists?",
        guesses=("Yes, in the description", "Only the hint does, in development", "Yes, by the status"),
        right=1, request=to_server(GRANT, basic=("{client_id}", "kts_wrong")),
        status=401, error="invalid_client", check="secret",
        remedy="Copy the secret again. If it is lost: `flask clients rotate-secret CLIENT`.",
    ),
    Slip(
        name="unknown-client", group="credentials", title="An unknown client",
        question="No client has this id. How does the response differ from the one for a wrong secret?",
        guesses=("404 instead of 401", "It has another error code", "Only in the hint, in development"),
        right=2, request=to_server(GRANT, basic=("demo-nobody", "{secret}")),
        status=401, error="invalid_client", check="client_known",
        remedy="`flask clients list` shows all clients.",
    ),
    Slip(
        name="id-in-capitals", group="credentials", title="The id in capitals",
        question="The id is written `DEMO-REPORTING`. What comes back?",
        guesses=("A token: case does not count", "401: it is another id", "400: capitals are not allowed"),
        right=1, request=to_server(GRANT, basic=("DEMO-REPORTING", "{secret}")),
        status=401, error="invalid_client", check="client_known",
        remedy="Write the id as it was shown: case counts.",
    ),
    Slip(
        name="swapped", group="credentials", title="Id and secret swapped",
        question="The two values are in each other's place. What does the server notice?",
        guesses=("The id looks like a secret", "Nothing: it swaps them back", "The secret is too short"),
        right=0, request=to_server(GRANT, basic=("{secret}", "{client_id}")),
        status=401, error="invalid_client", check="client_known",
        cause=("invalid_client", "The id and the secret are swapped."),
    ),
    Slip(
        name="quotes", group="credentials", title="The secret in quotes",
        question="The value was read from a file with its quotes, and they are sent too. What comes back?",
        guesses=("401, and the hint names the quotes", "A token: quotes are removed", "400: quotes are not allowed"),
        right=0, request=to_server(GRANT, ("client_id", "{client_id}"), ("client_secret", '"{secret}"'), basic=None),
        status=401, error="invalid_client", check="secret", cause=("invalid_client", SHAPE),
    ),
    Slip(
        name="newline", group="credentials", title="The secret with a newline",
        question="The secret was read from a file, with the newline at its end. What comes back?",
        guesses=("A token: white space is removed", "400: one line too many", "401, and the hint names the newline"),
        right=2, request=to_server(GRANT, ("client_id", "{client_id}"), ("client_secret", "{secret}\n"), basic=None),
        status=401, error="invalid_client", check="secret", cause=("invalid_client", SPACE),
    ),
    Slip(
        name="space", group="credentials", title="The secret with a space",
        question="A space was copied with the secret. Is that another secret?",
        guesses=("No: it is removed", "Yes: every character counts", "Only in the form"),
        right=1, request=to_server(GRANT, basic=("{client_id}", "%20{secret}")),
        status=401, error="invalid_client", check="secret",
        cause=("invalid_client", SPACE),
    ),
    Slip(
        name="encoded-twice", group="credentials", title="The secret percent-encoded twice",
        question="The program encodes the secret, and the library does it again. What reaches the server?",
        guesses=("The secret: it decodes until nothing changes", "A text with % in it", "An empty text"),
        right=1,
        request=to_server(GRANT, ("client_id", "{client_id}"), ("client_secret", "{encoded_secret}"), basic=None),
        status=401, error="invalid_client", check="secret", cause=("invalid_client", SHAPE),
    ),
    Slip(
        name="basic-not-base64", group="credentials", title="Basic without Base64",
        question="The header is written by hand: `Authorization: Basic id:secret`. What comes back?",
        guesses=("401: this is not Base64", "A token: it is readable", "400: the header is malformed"),
        right=0,
        request=Request(headers=(("Authorization", "Basic {client_id}:{secret}"),), form=(GRANT,)),
        status=401, error="invalid_client", check="basic",
        remedy="Encode `id:secret` in Base64; curl does it with `-u id:secret`.",
    ),
    Slip(
        name="bearer-for-basic", group="credentials", title="Bearer instead of Basic",
        question="A client sends its secret as `Authorization: Bearer`, as it will send the token. What comes back?",
        guesses=("A token", "401: the scheme is not Basic", "400: this is no token"),
        right=1, request=Request(headers=(("Authorization", "Bearer {secret}"),), form=(GRANT,)),
        status=401, error="invalid_client", check="basic",
        remedy="Basic is for the client's secret at `/oauth/`, Bearer for the token at an API.",
    ),
    Slip(
        name="header-misspelt", group="credentials", title="The header's name misspelt",
        question="The header is called `Authorisation`, with an s. What does the server see?",
        guesses=("The credentials: it is nearly right", "An error about an unknown header", "No credentials at all"),
        right=2, request=Request(headers=(("Authorisation", "Basic {basic}"),), form=(GRANT,)),
        status=401, error="invalid_client", check="credentials", cause=("invalid_client", "No secret was sent at all."),
    ),
    Slip(
        name="assertion", group="credentials", title="An assertion instead of a secret",
        question="A client that has a key may sign an assertion instead. This one is only the word `signed`.",
        guesses=("A token: the id is right", "401: it is not a JWT", "400: the parameter is unknown"),
        right=1,
        request=to_server(
            GRANT, ("client_id", "{client_id}"), ("client_assertion", "signed"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), basic=None,
        ),
        status=401, error="invalid_client", check="assertion_form",
        cause=("invalid_client", "The assertion is not a JWT."),
    ),
)  # fmt: skip
