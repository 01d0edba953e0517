// With a path in the issuer, as in https://example.com/auth, `/.well-known/…` goes before the path: RFC 8414, 3.1.
const [, origin, path] = pm.variables.replaceIn("{{base_url}}").match(/^(\w+:\/\/[^/]+)(.*)$/);
pm.collectionVariables.set("origin", origin);
pm.collectionVariables.set("path", path);
