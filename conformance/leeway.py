"""What the RFCs let another server do where a case names one response: data, one entry for each case.

A case that is not here has to be met as it is, for what it says of status and error code.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Leeway:
    """Other responses to a case.

    `statuses` and `errors` are allowed as well as the case's own. `level` is that of any other status or error code.
    `may_issue`: the server may ignore what is wrong and issue a token, if `unless` is not in its
    `token_endpoint_auth_methods_supported`. `issuing_breaks` is the clause that a token breaks, if not the first.
    `keeps`: the clause holds if the server ignores it. `untold`: the errors that do not tell whether the clause holds.
    """

    statuses: tuple[int, ...] = ()
    errors: tuple[str, ...] = ()
    level: str = "M"
    may_issue: bool = False
    unless: tuple[str, ...] = ()
    keeps: bool = False
    issuing_breaks: str = ""
    untold: tuple[str, ...] = ()


# RFC 6749, section 5.2: 400 for everything, 401 if the header Authorization was sent; without a client_id a parameter
# is missing, which is invalid_request.
UNNAMED = Leeway(statuses=(400,), errors=("invalid_request",))
BROKEN = Leeway(statuses=(400,), errors=("invalid_request",))
# The RFCs say what is issued, and not how a server refuses the rest.
OURS = Leeway(level="D")
ASSERTIONS = ("private_key_jwt", "client_secret_jwt")

LEEWAY = {
    "GET": OURS,
    "OPTIONS": OURS,
    "JSON instead of a form": OURS,
    "introspect without credentials": UNNAMED,
    "introspect with GET": OURS,  # RFC 7662, section 4: a server may allow it
    "revoke without credentials": UNNAMED,
    # The parameters of the URL may be ignored.
    "the secret in the URL": Leeway(may_issue=True, keeps=True, level="D"),
    # A server that reads one of the two values refuses a scope that it does not know.
    "a parameter twice": Leeway(untold=("invalid_scope",)),
    # A server that has the grant refuses the client or the password.
    "another grant": Leeway(untold=("unauthorized_client", "invalid_grant")),
    "a wrong secret, in the form": Leeway(statuses=(400,)),
    "an unknown client": Leeway(statuses=(400,), level="D", issuing_breaks="R023"),
    "no credentials": Leeway(statuses=(400,), errors=("invalid_request",), issuing_breaks="R011"),
    "no secret": Leeway(statuses=(400,), errors=("invalid_request", "unauthorized_client")),
    "Basic that is not Base64": BROKEN,
    "Basic without a colon": BROKEN,
    "Basic that is not UTF-8": BROKEN,
    # RFC 6749, section 3.2: a server that knows no assertions ignores the parameter.
    "a secret and an assertion": Leeway(may_issue=True, unless=ASSERTIONS),
    "Basic, and another id in the form": Leeway(may_issue=True, statuses=(401,), level="D"),
    # RFC 6749, section 3.3: a server may ignore a scope, fully or in part.
    "an unknown scope": Leeway(may_issue=True, level="D"),
    "two spaces in a scope": Leeway(may_issue=True, level="D"),
    "a quote in a scope": Leeway(may_issue=True, level="D"),
}
STRICT = Leeway()
