"""What three tools make of one collection, in one form, so that requests can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Request = dict[str, Any]


def of_postman(document: dict[str, Any]) -> list[Request]:
    return [as_written(folder["name"], item) for folder in document["item"] for item in folder["item"]]


def as_written(folder: str, item: dict[str, Any]) -> Request:
    request = item["request"]
    kind = request["auth"]["type"]
    sent = {each["key"]: each["value"] for each in request["auth"].get(kind, [])}
    body = request.get("body", {})
    form = [(each["key"], each["value"]) for each in body.get("urlencoded", [])]
    return {
        "folder": folder,
        "name": item["name"],
        "method": request["method"],
        "url": request["url"],
        "description": request["description"],
        "headers": [(each["key"], each["value"]) for each in request["header"]],
        "auth": auth(kind, sent, client="clientId", secret="clientSecret", address="accessTokenUrl"),
        "form": form,
        "raw": body.get("raw", ""),
    }


def auth(kind: str, sent: dict[str, Any], *, client: str, secret: str, address: str) -> tuple[str, ...]:
    """How a request authenticates: the kind, and what it sends."""
    members = {
        "basic": ("username", "password"),
        "bearer": ("token",),
        "oauth2": (address, client, secret),
    }.get(kind, ())
    return (kind if members else "noauth", *(str(sent[name]) for name in members))


def of_bruno(imported: dict[str, Any]) -> list[Request]:
    return [in_bruno(folder["name"], item) for folder in imported["items"] for item in folder["items"]]


def in_bruno(folder: str, item: dict[str, Any]) -> Request:
    request = item["request"]
    kind = request["auth"]["mode"]
    sent = request["auth"].get(kind) or {}
    body = request["body"]
    return {
        "folder": folder,
        "name": item["name"],
        "method": request["method"],
        "url": request["url"],
        "description": request["docs"],
        "headers": [(each["name"], each["value"]) for each in request["headers"]],
        "auth": auth(kind, sent, client="clientId", secret="clientSecret", address="accessTokenUrl"),
        "form": [(each["name"], each["value"]) for each in body.get("formUrlEncoded") or []],
        "raw": body.get("json") or "",
    }


def of_insomnia(resources: list[dict[str, Any]]) -> list[Request]:
    folders = {each["_id"]: each["name"] for each in resources if each["_type"] == "request_group"}
    return list(in_insomnia(folders, resources))


def in_insomnia(folders: dict[str, str], resources: list[dict[str, Any]]) -> Iterator[Request]:
    for each in resources:
        if each["_type"] != "request":
            continue
        sent = each["authentication"]
        yield {
            "folder": folders[each["parentId"]],
            "name": each["name"],
            "method": each["method"],
            "url": each["url"],
            "description": each["description"],
            "headers": [(header["name"], header["value"]) for header in each["headers"]],
            "auth": auth(
                sent.get("type", ""), sent, client="clientId", secret="clientSecret", address="accessTokenUrl"
            ),
            "form": [(pair["name"], pair["value"]) for pair in each["body"].get("params", [])],
            "raw": each["body"].get("text", ""),
        }
