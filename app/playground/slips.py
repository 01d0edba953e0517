"""Typical slips of clients, as data."""

from __future__ import annotations

SLIPS: tuple[object, ...] = ()
