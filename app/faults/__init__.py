"""Faults on purpose, in development only: the client id or the issuer says which one."""
