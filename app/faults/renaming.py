"""The client id of a request, in the header or the form: replaced by `fault`, so that the app checks the secret."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from app.authentication.client_secret import parse_basic
from app.faults.fault_id import CLIENT, PREFIX
from app.refusals.errors import RefusedError
from app.request_body import FORM

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FORM_ID = b"client_id=" + CLIENT.encode()


def rename(environ: WSGIEnvironment, max_body_bytes: int) -> str | None:
    """Replace the id of a fault's client by `fault`, in the header and in the form; leave all else as it was sent.

    Returns:
        What follows `fault-` in the id; None if the request is from another client, or not well formed: the app
        refuses that.
    """
    header = environ.get("HTTP_AUTHORIZATION")
    if not header:
        return rename_in_form(environ, max_body_bytes)
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = a2b_base64(encoded)
    except ValueError:
        return None
    if b"fault" not in decoded and b"%" not in decoded:  # the usual case, without parsing the header twice
        return None
    sent = id_in_basic(header)
    if sent is None:
        return None
    renamed = CLIENT.encode() + b":" + decoded.partition(b":")[2]
    environ["HTTP_AUTHORIZATION"] = "Basic " + b2a_base64(renamed, newline=False).decode()
    rename_in_form(environ, max_body_bytes, only=sent)
    return sent


def id_in_basic(header: str) -> str | None:
    try:
        return of_a_fault(parse_basic(header)[0])
    except RefusedError:
        return None


def of_a_fault(client_id: str) -> str | None:
    return client_id.removeprefix(PREFIX) or None if client_id.startswith(PREFIX) else None


def rename_in_form(environ: WSGIEnvironment, max_body_bytes: int, *, only: str | None = None) -> str | None:
    """Replace the id in the form.

    Args:
        environ: The request.
        max_body_bytes: The longest form.
        only: The one id to replace; None for that of any fault.
    """
    pairs = read_form(environ, max_body_bytes).split(b"&")
    ids = {place: of_a_fault(value) for place, pair in enumerate(pairs) if (value := id_in(pair)) is not None}
    found = next(iter(ids.values()), None)
    if found is None or only not in (None, found):
        return None
    for place, each in ids.items():  # the app refuses an id that was sent twice
        if each == found:
            pairs[place] = FORM_ID
    replace_body(environ, b"&".join(pairs))
    return found


def id_in(pair: bytes) -> str | None:
    """The client id, if this pair of a form is one."""
    name, _, value = pair.decode("latin-1").partition("=")
    return unquote_plus(value) if unquote_plus(name) == "client_id" else None


def read_form(environ: WSGIEnvironment, max_body_bytes: int) -> bytes:
    """The body, if it is a form, which can be read again; empty if it is no form, too long, or cannot be read."""
    length = environ.get("CONTENT_LENGTH") or ""
    is_form = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() == FORM
    if not is_form or not (length.isdecimal() or environ.get("wsgi.input_terminated")):
        return b""
    most = min(int(length), max_body_bytes + 1) if length.isdecimal() else max_body_bytes + 1
    try:
        body: bytes = environ["wsgi.input"].read(most)
    except Exception:  # each server has its own errors for a body that is broken; the app meets it again
        return b""
    environ["wsgi.input"] = BytesIO(body)
    return body if len(body) <= max_body_bytes else b""


def replace_body(environ: WSGIEnvironment, body: bytes) -> None:
    environ["wsgi.input"] = BytesIO(body)
    if environ.get("CONTENT_LENGTH"):
        environ["CONTENT_LENGTH"] = str(len(body))
