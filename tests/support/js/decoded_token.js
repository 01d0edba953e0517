
// A JWT is three parts with dots between them: a header, the claims, and a signature.
// Anyone who has it can read it; only the server can sign it.
const fromBase64 = require("atob");
const decoded = (part) => JSON.parse(fromBase64(part.replace(/-/g, "+").replace(/_/g, "/")));
const [header, claims] = body.access_token.split(".").slice(0, 2).map(decoded);
console.log("header", header);
console.log("claims", claims);

const meanings = {
    typ: "what this is: an access token (RFC 9068)",
    alg: "how it is signed",
    kid: "which of the published keys verifies it: see the folder 6. Metadata and keys",
    iss: "who issued it",
    aud: "which API it is for",
    sub: "whom it is about: here the client itself",
    client_id: "which client requested it",
    scope: "what it allows",
    iat: "when it was issued, in seconds since 1970",
    exp: "when it expires",
    jti: "its own id, by which it can be revoked",
};
const rows = Object.entries({ ...header, ...claims }).map(([name, value]) => ({
    name,
    value: ["iat", "exp"].includes(name) ? value + " = " + new Date(value * 1000).toISOString() : value,
    meaning: meanings[name],
}));
pm.visualizer.set(
    "<h3>What the token says</h3><table>{{#each rows}}" +
        "<tr><td><b>{{name}}</b></td><td><code>{{value}}</code></td><td>{{meaning}}</td></tr>{{/each}}</table>",
    { rows },
);
