"""The responses of the stubs: what this server responds, as in production, with the times and addresses of the mock."""

from __future__ import annotations

import json
import re
from typing import Any

from werkzeug import Response

from app.faults.fault_layer import HEADER
from conformance.cases import CASES
from tests.support import collection, mock_tokens
from tests.support.examples import MOMENT, SHOWN, responses
from tests.support.mock_tokens import LATER, NOW

HEADERS = (*SHOWN, "Pragma", "Location", HEADER)
REQUEST_ID = "{{randomValue length=16 type='HEXADECIMAL'}}"
TITLES = {case.name: case.title for case in CASES}


def real(case_name: str) -> dict[str, Any]:
    """The response to a case."""
    return as_stub(responses()[TITLES[case_name]])


def as_stub(found: Response) -> dict[str, Any]:
    headers = {name: filled(found.headers[name]) for name in HEADERS if name in found.headers}
    headers["X-Request-Id"] = REQUEST_ID
    return {"status": found.status_code, "headers": headers, **with_body(filled(found.get_data(as_text=True)))}


def filled(text: str) -> str:
    """A text with templates for what differs from run to run, and without a hint."""
    text = re.sub(r', ?"hint": ?"[^"]*"', "", text)
    text = re.sub(r'("(?:jti|request_id)": ?)"[^"]*"', rf'\1"{mock_tokens.identifier("")}"', text)
    text = re.sub(r'("jti_prefix": ?)"[^"]*"', rf'\1"{mock_tokens.identifier("")[:8]}"', text)
    text = re.sub(r'("operator": ?)"[^"]*"', r'\1"anna as keyturn"', text)
    text = text.replace(collection.BASE_URL, "{{request.baseUrl}}")
    return text.replace(str(MOMENT + 3600), LATER.format(3600)).replace(str(MOMENT), NOW)


def with_body(text: str) -> dict[str, Any]:
    """A body, and as JSON that can be read in the file where it is JSON before the templates are filled."""
    templates = {"transformers": ["response-template"]}
    try:
        return {"jsonBody": json.loads(text)} | templates
    except ValueError:
        return {"body": text} | templates


def instead(response: dict[str, Any], **body: Any) -> dict[str, Any]:
    """A response with another body."""
    return {name: value for name, value in response.items() if name not in ("body", "jsonBody")} | body


def with_token(token: str, scope: str, seconds: int = 3600) -> dict[str, Any]:
    """A token response."""
    response = real("a token, with HTTP Basic")
    members = {"token_type": "Bearer", "access_token": token, "expires_in": seconds, "scope": scope}
    if "{{" not in token:
        return instead(response, jsonBody=members)
    # The quotes in a template are its own.
    return instead(response, body=json.dumps(members | {"access_token": "TOKEN"}).replace("TOKEN", token))
