"""Why keys that are elsewhere are not available: causes of a refusal that are not the client's fault.

Nobody has guessed anything then, and no limit of failures counts them.
"""

from __future__ import annotations

from app.refusals.assertion_cause import AssertionCause

PUBLISH = "Publish a JSON Web Key Set (RFC 7517) at that address, with the public keys alone."
REACHABLE = "Request that address from the machine of the server, as with `curl -v`: it shows which step fails."

KEY_SET_CAUSES = {
    "unreachable": AssertionCause(
        "the key set cannot be fetched from {source}: {why}",
        "The key set of the client, or of the issuer, cannot be fetched.", REACHABLE,
    ),
    "certificate": AssertionCause(
        "the certificate of {source} is not accepted: {why}",
        "The certificate of the server that has the key set is not accepted.",
        "Renew it; if a private authority signed it, name that one in `SSL_CERT_FILE`.",
    ),
    "slow": AssertionCause(
        "the key set did not arrive from {source} within {seconds} seconds",
        "The key set did not arrive in time.", REACHABLE,
    ),
    "status": AssertionCause(
        "{source} responded with status {status} to the request for the key set",
        "The server that has the key set responded with an error.", REACHABLE,
    ),
    "redirect": AssertionCause(
        "{source} redirects to another server, or more than 3 times, which is not followed: name the final address",
        "The address of the key set redirects to another server, or too often.", "Name the final address.",
    ),
    "too_large": AssertionCause(
        "the key set from {source} is too large: at most {most} are accepted",
        "The key set is too large.", "Publish at most 100 keys in at most 256 KiB, without certificates.",
    ),
    "not_a_key_set": AssertionCause(
        "{source} has no JSON Web Key Set: {why}", "What is at the address of the key set is no key set.", PUBLISH,
    ),
    "no_usable_key": AssertionCause(
        "the key set from {source} has {count} keys, and none that is public, for signatures and supported",
        "No key of the key set can be used.",
        "Publish RSA keys of 2048 to 4096 bits, or keys on P-256, without `use` or with `sig`.",
    ),
    "address_forbidden": AssertionCause(
        "{source} has the address {address}, from which no keys are fetched",
        "The address of the key set is private, loopback or link-local.",
        "Serve it from a public address; an issuer in keyturn.toml may say `private_network = true`.",
    ),
    "not_https": AssertionCause(
        "keys are fetched by https only: {source} is no such address",
        "The address of the key set is not https.", "Serve it by https.",
    ),
    "discovery_differs": AssertionCause(
        "the metadata from {source} are of another issuer: {found}",
        "The metadata of the issuer name another issuer.", "Write `issuer` in keyturn.toml as the metadata have it.",
    ),
    "not_metadata": AssertionCause(
        "{source} has no metadata of an OpenID provider: {why}",
        "What is at the address of the issuer's metadata is none.",
        "Name the key set in keyturn.toml with `jwks_uri` or `jwks_file`.",
    ),
    "file_unreadable": AssertionCause(
        "the key set file {source} cannot be read: {why}",
        "The key set file of the issuer cannot be read.",
        "Write the key set into that file, and let the server's user read it.",
    ),
    "busy": AssertionCause(
        "the key set from {source} is being fetched, and enough requests wait for key sets",
        "With 503: the keys of the client are being fetched, and enough requests wait.",
        "Repeat the request after `Retry-After` seconds.", "temporarily_unavailable",
    ),
}  # fmt: skip
