"""The slips of the request itself: its method, its media type, where its parameters are; and of its address."""

from __future__ import annotations

from app.playground.slip import CREDENTIALS, GRANT, IN_FORM, TOKEN, Request, Slip, to_server

FORM_TYPE = ("Content-Type", "application/x-www-form-urlencoded")
JSON_TYPE = ("Content-Type", "application/json")
IN_JSON = '{"grant_type": "client_credentials"}'

REQUEST_SLIPS = (
    Slip(
        name="json", group="request", title="JSON instead of a form",
        question="Most APIs read JSON, so a client sends its parameters as JSON. What comes back?",
        guesses=("A token: the server reads both", "An error about the media type", "An error about the secret"),
        right=1, request=Request(basic=CREDENTIALS, headers=(JSON_TYPE,), body=IN_JSON),
        status=415, error="invalid_request", check="media_type",
        cause=("invalid_request", "The parameters were sent as JSON."),
    ),
    Slip(
        name="json-labelled-as-form", group="request", title="JSON labelled as a form",
        question="`curl -d '{…}'` sends JSON, and says that it is a form. What does the server miss?",
        guesses=("Nothing: it recognizes JSON", "The secret", "The parameter grant_type"),
        right=2, request=Request(basic=CREDENTIALS, headers=(FORM_TYPE,), body=IN_JSON),
        status=400, error="invalid_request", check="grant_type",
        remedy="Send a form: `-d grant_type=client_credentials`, one `-d` for each parameter.",
    ),
    Slip(
        name="compressed", group="request", title="A compressed body",
        question="A client sends `Content-Encoding: gzip` in order to save bytes. What does the server do?",
        guesses=("It decompresses the body", "It refuses the request", "It ignores the header"),
        right=1,
        request=Request(
            basic=CREDENTIALS, headers=(FORM_TYPE, ("Content-Encoding", "gzip")), body="grant_type=client_credentials"
        ),
        status=400, error="invalid_request", check="not_compressed",
        cause=("invalid_request", "The body is compressed."),
    ),
    Slip(
        name="secret-in-url", group="request", title="The secret in the URL",
        question="The secret is in the query of the URL, and it is the right one. What comes back?",
        guesses=("A token, and the secret is in every log", "An error about the client", "An error about the URL"),
        right=2, request=Request(path=TOKEN + "?client_id={client_id}&client_secret={secret}", form=(GRANT,)),
        status=400, error="invalid_request", check="parameters_in_body",
        cause=("invalid_request", "A parameter is in the URL."),
    ),
    Slip(
        name="parameter-twice", group="request", title="A parameter sent twice",
        question="An HTTP library adds a `scope`, and so does the program. Which of the two counts?",
        guesses=("The first", "The last", "Neither: the request is refused"),
        right=2, client="demo-partner",
        request=to_server(GRANT, ("scope", "inventory:read"), ("scope", "inventory:write")),
        status=400, error="invalid_request", check="parameters_once",
        cause=("invalid_request", "A parameter was sent twice."),
    ),
    Slip(
        name="no-grant-type", group="request", title="No grant type",
        question="This server supports one grant only, so a client omits `grant_type`. What comes back?",
        guesses=("A token: there is only one grant", "invalid_request", "unsupported_grant_type"),
        right=1, request=to_server(("scope", "reports:read")), status=400, error="invalid_request", check="grant_type",
        remedy="Send `grant_type=client_credentials`, although there is no other.",
    ),
    Slip(
        name="two-ways", group="request", title="The secret sent in two ways",
        question="A library sends Basic, and the program adds the same `client_secret` to the form. What comes back?",
        guesses=("A token: both are right", "An error: one way per request", "An error: Basic is missing"),
        right=1, request=to_server(GRANT, ("client_secret", "{secret}")),
        status=400, error="invalid_request", check="one_mechanism",
        cause=("invalid_request", "Credentials were sent in two ways, such as Basic and `client_secret`."),
    ),
    Slip(
        name="two-clients", group="request", title="Two clients in one request",
        question="Basic names one client, and `client_id` in the form another. For whom is the token?",
        guesses=("For the one in Basic", "For the one in the form", "There is none"),
        right=2, request=to_server(GRANT, ("client_id", "somebody-else")),
        status=400, error="invalid_request", check="one_client_id",
        remedy="Leave `client_id` out of the form if you send Basic.",
    ),
    Slip(
        name="not-utf8", group="request", title="A form that is not UTF-8",
        question="An old system percent-encodes an é as Latin-1: `%E9`. What does the server read?",
        guesses=("An é", "A question mark", "Nothing: the request is refused"),
        right=2,
        request=Request(
            basic=CREDENTIALS, headers=(FORM_TYPE,), body="grant_type=client_credentials&scope=reports%E9"
        ),
        status=400, error="invalid_request", check="percent_encoding",
        cause=("invalid_request", "The body is not UTF-8."),
    ),
    Slip(
        name="get", group="request", title="GET instead of POST",
        question="A token is something to get, so a client uses GET. What comes back?",
        guesses=("A token", "405, with the methods that exist", "404"),
        right=1, request=Request(method="GET", basic=CREDENTIALS), status=405, error="invalid_request", check="address",
        cause=("invalid_request", "GET was used."),
    ),
    Slip(
        name="too-long", group="request", title="A body that is too long",
        question="A client sends 17,000 characters too many. What comes back?",
        guesses=("A token: unknown parameters are ignored", "413: the body is too long", "A time-out"),
        right=1, request=to_server(GRANT, ("padding", "{padding}")),
        status=413, error="invalid_request", check="body_length",
        remedy="Send only what is needed; `KEYTURN_MAX_BODY_BYTES` is the limit.",
    ),
    Slip(
        name="misspelt-parameter", group="request", title="A parameter misspelt",
        question="A client requests `scopes=inventory:read`, with an s too many. What comes back?",
        guesses=("An error about the parameter", "A token with inventory:read", "A token with the default scope"),
        right=2, client="demo-partner", request=to_server(GRANT, ("scopes", "inventory:read")), status=200, error=None,
        remedy="An unknown parameter is ignored, so compare `scope` of the response with what you requested.",
    ),
)  # fmt: skip

ADDRESS_SLIPS = (
    Slip(
        name="trailing-slash", group="address", title="A slash too many",
        question="The token endpoint is called as `/oauth/token/`. What comes back?",
        guesses=("A redirect to /oauth/token", "A token", "404, with the address that was meant"),
        right=2, request=Request(path="/oauth/token/", form=(GRANT, *IN_FORM)),
        status=404, error="not_found", check="address",
        cause=("not_found", "The path has a trailing or double slash."),
    ),
    Slip(
        name="wrong-path", group="address", title="A path that is misspelt",
        question="Another server has its token endpoint at `/oauth2/token`, so a client tries that. What comes back?",
        guesses=("404, with the address that was meant", "A token", "401, as for a wrong client"),
        right=0, request=Request(path="/oauth2/token", form=(GRANT, *IN_FORM)),
        status=404, error="not_found", check="address",
        cause=("not_found", "The path is misspelt."),
    ),
    Slip(
        name="openid", group="address", title="A client for OpenID Connect",
        question="A library looks for `/.well-known/openid-configuration`. What does it find?",
        guesses=("The metadata of the server", "404, with the address of the metadata", "A page for signing in"),
        right=1, request=Request(method="GET", path="/.well-known/openid-configuration"),
        status=404, error="not_found", check="address", cause=("not_found", "The client expects OpenID Connect."),
    ),
    Slip(
        name="wrong-method", group="address", title="A method that does not exist",
        question="A client sends DELETE to `/inventory`, with a good token. What comes back?",
        guesses=("The stock is deleted", "405, with the methods that exist", "403"),
        right=1, client="demo-partner",
        request=Request(method="DELETE", path="/inventory", headers=(("Authorization", "Bearer {token}"),)),
        status=405, error="invalid_request", check="address",
        remedy="The header `Allow` of the response lists the methods.",
    ),
)  # fmt: skip
