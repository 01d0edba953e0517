"""The profile: 108 sentences that must hold, each with a stable id and its source.

M is what an RFC says a server MUST do, S what it SHOULD do, D our own decision where the RFC leaves room.
A case or a test that shows a clause has its id in its name. What is not supported is at the end, with the
reason.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clause:
    id: str
    level: str
    source: str
    sentence: str


TEXT = """
# The shape of a request
R001 M | 6749 3.2 | Only POST ever issues a token; any other method is 405 with Allow: POST and a JSON body.
R002 M | 6749 3.2 | In production what is below /oauth/ refuses plain http, seen through the configured proxies, with 400, and the log names the setting; development accepts any host.
R003 M | 6749 4.4.2 | Parameters are read from a UTF-8 form only; another media type is 415 and names the right one.
R004 M | 6749 2.3.1 | No parameter is read from the URL.
R005 M | 6749 3.2 | A parameter that is sent twice is invalid_request; resource may repeat.
R006 M | 6749 3.2 | A parameter without a value counts as omitted.
R007 M | 6749 3.2 | Unknown parameters are ignored.
R008 M | 6749 4.4.2 | A missing grant_type is invalid_request.
R009 M | 6749 5.2 | Another grant is unsupported_grant_type.
R010 M | 6749 5.2 | A client without the grant is unauthorized_client.
R011 M | 6749 4.4 | A public client never gets a token.
# Client authentication
R012 M | 6749 2.3.1 | HTTP Basic works for every client with a secret, unless it is registered for another method.
R013 M | 6749 2.3.1 | Id and secret are form-decoded inside Basic.
R014 D | 6749 2.3.1 | Generated ids and secrets have no character that encoding would change.
R015 M | 7617 2 | The first colon separates id and secret; further colons belong to the secret.
R016 M | 9110 11.1 | The name of the scheme may be written in any case.
R017 M | 6749 5.2 | Broken Basic credentials are 401 or 400, never 500.
R018 M | 6749 2.3 | Two ways of authentication in one request are invalid_request.
R019 D | 6749 3.2.1 | A client_id beside Basic must be the same one.
R020 M | 6749 5.2 | Failed Basic authentication is 401 with a Basic challenge.
R021 M | 7617 2 | That challenge names a realm.
R022 M | 9110 15.5.2 | Every 401 has a challenge.
R023 S | 6749 5.2 | Failed authentication by the form is invalid_client as well.
R024 D | our own | Unknown client and wrong secret get the same response after the same work; in development all but the hint.
R025 M | 6749 2.3.1 | Failed authentications are limited per client id and address, and per address: 429 with Retry-After, shared where Redis is; a correct credential is never refused for them and never counts.
R026 M | 6749 10.10 | Secrets are 256 random bits, and only a digest is stored, which itself does not authenticate.
R027 M | 6749 3.2.1 | An expired secret and a disabled client are invalid_client.
R028 D | our own | During a rotation both secrets work; afterwards the old one fails on all workers at once.
R029 M | 7591 2 | A client registered for one method is refused with any other.
R030 S | 9700 2.5 | A client may authenticate with a signed assertion (private_key_jwt).
# Assertions
R031 M | 7521 4.2 | An assertion comes with its type, exactly once.
R032 M | 7523 3 | iss and sub of an assertion are the client_id.
R033 M | 7523 3 | aud of an assertion is this server.
R034 M | 7523 3 | An assertion expires, and soon.
R035 M | 7523 3 | nbf, iat and exp of an assertion are checked with 60 seconds of leeway.
R036 S | 7523 3 | An assertion works once.
R037 M | 7523 3 | An assertion's signature is checked with an allow-list of algorithms; keys in its header are ignored.
R038 M | 7523 3.2 | A bad assertion is invalid_client.
R039 S | 8414 2 | RS256 and ES256 are supported for assertions.
R040 D | 7591 2 | Fetching a client's keys is bounded in time and size, and reaches no private address.
# Scope and audience
R041 M | 6749 3.3 | A scope is words with single spaces between, in allowed characters; case counts, order does not.
R042 M | 6749 3.3 | A request without a scope means the client's default scope.
R043 D | 6749 5.2 | A scope beyond the client's is invalid_scope; nothing is dropped silently.
R044 M | 6749 5.1 | The response always names the scope.
R045 M | 8707 2 | resource is an absolute URI without a fragment.
R046 M | 8707 2 | An unknown resource is invalid_target.
R047 S | 8707 2 | aud is the resource that the scope belongs to, in the token and at introspection.
R048 S | 8707 2.2 | Scopes are narrowed to those of the requested resource.
R049 S | 9700 2.3 | Every token is for one API.
R050 S | 9068 3 | Scopes of two APIs in one request are invalid_scope.
# The response
R051 M | 6749 5.1 | The response is 200, JSON, with access_token and token_type.
R052 S | 6749 5.1 | expires_in is a whole number, exp minus iat.
R053 S | 6749 4.4.3 | There is no refresh token.
R054 M | 6749 5.1 | No response with a token, no introspection and no error may be stored.
R055 M | 7519 4.1.7 | Two responses have different tokens.
R056 M | 6750 2.1 | A token has the characters of b64token only; an opaque one has 256 random bits.
R057 S | 6749 5.1 | The longest token is documented.
# Errors
R058 M | 6749 5.2 | An error is a JSON object with a registered code, 400 unless said otherwise.
R059 M | 6749 5.2 | Error texts keep to the allowed characters, and in production nothing of the request comes back.
R060 M | 6749 5.2 | error_uri is a valid address, and a page is there.
R061 D | 9110 15 | No response is HTML but the error pages; codes outside RFC 6749 have fixed statuses.
R062 D | our own | No error has a secret, a token, a stack trace or SQL in it.
# Access tokens
R063 M | 9068 2.1 | A JWT is signed, and its typ is at+jwt.
R064 M | 9068 2.1 | RS256 is supported, by the server and by its guard.
R065 M | 9068 2.2 | iss, exp, aud, sub, client_id, iat and jti are there; iss is the issuer of the metadata.
R066 S | 9068 2.2 | sub is the client's id.
R067 S | 9068 2.2.3 | scope is one string, separated by spaces.
R068 M | 7519 4.1 | exp and iat are numbers; sub, iss and aud are strings.
R069 M | 9068 4 | The guard refuses a wrong typ, issuer, audience, signature or algorithm, exp without leeway, iat and nbf beyond 60 seconds.
R070 M | 7515 4.1.4 | kid names exactly one key of the JWKS.
R071 S | 9700 4.15.1 | No client chooses its id.
# Keys
R072 M | 7517 5 | The JWKS is a JSON object with keys.
R073 M | 7517 4 | No private member of a key is published.
R074 S | 7517 4.5 | kids are unique: each is the key's thumbprint (RFC 7638).
R075 S | 7517 4.2 | Each key has its use and its algorithm; RSA keys have 2,048 bits or more.
R076 D | 9110 13 | A key is published one max-age before it signs and stays published while its tokens are valid; max-age and ETag are sent.
R077 D | our own | All workers publish the same keys and sign with the same one.
# Metadata
R078 M | 8414 3 | The metadata is where the RFC puts it, also with a path in the issuer.
R079 M | 8414 2 | The issuer is the configured one, never taken from the request: https in production, without query or fragment.
R080 M | 8414 2 | token_endpoint is there, authorization_endpoint is not; response_types_supported, which section 2 requires, is there and empty.
R081 M | 8414 2 | grant_types_supported is client_credentials.
R082 M | 8414 2 | The authentication methods that are listed are those that work, at each endpoint.
R083 M | 8414 3.2 | Empty lists are left out, response_types_supported apart (R080), and every address that is listed responds.
R084 S | 8414 2 | scopes_supported and service_documentation are there.
R085 M | 9728 3 | The sample API describes itself, and a 401 names where.
# Introspection
R086 M | 7662 2.1 | Only a registered resource server may introspect: 401 without credentials, 403 for another client.
R087 M | 7662 2.1 | The question is a form sent by POST; a missing token is invalid_request.
R088 M | 7662 2.2 | Of a token that is not active, not ours or not for the caller nothing more is said.
R089 M | 7662 4 | Signature, moments, revocation and audience are all checked.
R090 D | 7662 2.2 | The response has the claims that a JWT would have.
R091 M | 7662 2.1 | A wrong hint changes nothing.
R092 M | 7662 2.3 | Bad credentials are 401; the endpoint can be limited.
# Revocation
R093 M | 7009 2.1 | The client authenticates, and revokes its own tokens only.
R094 M | 7009 2.2 | An unknown, expired or revoked token is 200.
R095 M | 7009 2.1 | After the 200 the token is dead on every worker.
R096 M | 7009 2.1 | A hint changes nothing; a missing token is invalid_request.
R097 S | 7009 2 | Both kinds of access token can be revoked.
# Bearer tokens at the API
R098 M | 6750 2.1 | Authorization: Bearer works, in any case.
R099 M | 9700 4.3.2 | A token in the URL or in the form is refused.
R100 M | 6750 3 | Every 401 and 403 has a Bearer challenge, each parameter at most once.
R101 S | 6750 3.1 | No token has no error code; a bad one is 401, a missing scope 403, a malformed header 400.
R102 M | 6750 2 | Two ways of sending a token in one request are 400.
R103 M | 9700 2.3 | A token for another API is refused.
# Deployment
R104 M | 9700 4.13 | Proxy headers count only for the configured number of proxies; they change neither scheme, address nor issuer otherwise.
R105 S | 9700 2.2.1 | Tokens are bound to their sender.
R106 M | 9110 15 | The content type is right, HEAD works where GET does, and no browser may call the token endpoint.
R107 D | 9110 15.5.14 | A body that is too long is 413; slow and broken ones are bounded.
R108 D | our own | Every token, refusal and change is one event, with the request id and without any secret.
"""

NOT_SUPPORTED = {
    "R105": "Tokens are bearer tokens. Keep their lives short, revoke what may have leaked, and use TLS throughout.",
}


def read(text: str) -> dict[str, list[Clause]]:
    """The clauses under their headings."""
    found: dict[str, list[Clause]] = {}
    for line in text.strip().splitlines():
        if line.startswith("# "):
            found[line[2:]] = []
            continue
        name, source, sentence = (part.strip() for part in line.split("|"))
        place = f"RFC {source.replace(' ', ', section ')}" if source[0].isdigit() else source
        found[list(found)[-1]].append(Clause(*name.split(), place, sentence))
    return found


CHAPTERS = read(TEXT)
CLAUSES = {clause.id: clause for clauses in CHAPTERS.values() for clause in clauses}
