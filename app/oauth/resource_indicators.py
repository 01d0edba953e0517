"""The parameter `resource` (RFC 8707): the client names the API for which it requests a token.

A token is for one API here, so `resource` may be sent several times only if it always names the same one. It is
compared with the audiences of keyturn.toml, character by character.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import Any

from flask import Response, after_this_request

from app.checks import Check, making
from app.clients import scope
from app.clients.client import Client
from app.oauth.form_request import FormRequest, parameters
from app.refusals.errors import RefusedError
from app.settings import current_settings
from app.settings.setting_forms import ABSOLUTE_URI

RESOURCE = Check("resource", "The resource is an API that the client has a scope of.", "RFC 8707, section 2")

AUDIENCE_IGNORED = "audience is not a parameter of this server, and was ignored: name the API with resource (RFC 8707)"


def apply(request: FormRequest, client: Client) -> None:
    """Narrow the scope of a request to that of the resource that it names.

    Raises:
        RefusedError: `invalid_target`, if it is no resource of this client.
    """
    resources = {value for name, value in parameters() if name == "resource" and value}
    if resources:
        request.form["scope"] = narrowed(client, request.form.get("scope", ""), chosen(resources, client))
    elif not current_settings().is_production:
        after_this_request(with_hint)


def chosen(resources: set[str], client: Client) -> str:
    """The one resource that a request names.

    Raises:
        RefusedError: `invalid_target`, if there are several, or it is malformed, unknown or not one of the client's.
    """
    making.now.check = RESOURCE
    if not all(re.fullmatch(ABSOLUTE_URI, resource) for resource in resources):
        raise RefusedError("invalid_target", reason="the resource is not an absolute URI without a fragment")
    if len(resources) > 1:
        raise RefusedError("invalid_target", reason="two resources were sent: request one token for each")
    (resource,) = resources
    own = scope.resources_of(client.scope)
    if resource not in own:
        raise RefusedError("invalid_target", reason=foreign(resource, own))
    return resource


def foreign(resource: str, own: list[str]) -> str:
    """Why a client may not name a resource; one that is declared nowhere is not shown."""
    if resource in scope.current_scopes().audiences.values():
        return f"the client has no scope of the resource {resource}"
    found = get_close_matches(resource, own, n=1)
    return f"the resource is unknown; {f'did you mean {found[0]}?' if found else 'the client has: ' + ' '.join(own)}"


def narrowed(client: Client, requested: str, resource: str) -> str:
    """The scope that remains for one resource (RFC 8707, section 2.2).

    Raises:
        RefusedError: `invalid_target`, if none remains.
    """
    found = scope.narrow(requested or client.default_scope, allowed=client.scope, resource=resource)
    if not found and not requested:  # its default scope is that of another API
        found = scope.narrow(client.scope, allowed=client.scope, resource=resource)
    if not found:
        raise RefusedError("invalid_target", reason=f"no word of the scope belongs to the resource {resource}")
    return found


def with_hint(response: Response) -> Response:
    """In development, tell a client that names its API with `audience` that this has no effect."""
    document: Any = response.get_json(silent=True)
    if response.status_code == 200 and document:
        response.set_data(json.dumps(document | {"hint": AUDIENCE_IGNORED}))
    return response
