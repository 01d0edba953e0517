"""Per-app objects, found through the current app: `current_keystore = PerApp[Keystore]("keystore")`.

`init_app` sets the object, and `current_keystore()` returns the one of the app that handles the request.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from flask import Flask, current_app

T = TypeVar("T")


class PerApp(Generic[T]):
    """One `T` per app."""

    def __init__(self, name: str) -> None:
        self._name = name

    def set(self, app: Flask, value: T) -> None:
        app.extensions[self._name] = value

    def of(self, app: Flask) -> T:
        found: T = app.extensions[self._name]
        return found

    def __call__(self) -> T:
        found: T = current_app.extensions[self._name]
        return found
