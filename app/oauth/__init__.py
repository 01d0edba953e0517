"""The protocol's endpoints: token, introspection, revocation."""
