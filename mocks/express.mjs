// A mock of an OAuth 2.0 authorization server, as Express middleware, for the tests of a client or of an API.
//
//     const oauth = await mockOAuth({ issuer, clients: { shop: { secret: "s3cret", scope: "orders:read" } } });
//     app.use(oauth);                                           // POST /oauth/token, the JWKS, the metadata
//     app.get("/orders", oauth.requireScope("orders:read"), …); // 401 without a token, 403 without the scope
//     oauth.fail("429");                                        // the next token request gets 429
//
// The tokens are JWTs (RFC 9068), signed by a key that exists as long as the process. Of a request it compares less
// than a server does: never use it in production.
import { timingSafeEqual } from "node:crypto";
import express from "express";
import { calculateJwkThumbprint, createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";

const later = (seconds) => Math.floor(Date.now() / 1000) + seconds;
const words = (scope = "") => scope.split(" ").filter(Boolean);
const decoded = (text) => decodeURIComponent(text.replaceAll("+", " ")); // RFC 6749, section 2.3.1

function refuse(response, status, error, challenge) {
    if (challenge) response.set("WWW-Authenticate", challenge);
    response.status(status).json(error ? { error } : {});
}

const retryLater = (status) => (response) =>
    refuse(response.set("Retry-After", "1"), status, "temporarily_unavailable");
const without = (name) => (response, body) => response.json({ ...body, [name]: undefined });

// What goes wrong with a token response.
const RESPONSES = {
    401: (response) => refuse(response, 401, "invalid_client", 'Basic realm="mock"'),
    429: retryLater(429),
    500: (response) => refuse(response, 500, "server_error"),
    503: retryLater(503),
    drop: (response) => response.socket.destroy(),
    html: (response) => response.type("html").send("<!doctype html><title>Sign in</title>"),
    "slow-1s": (response, body) => setTimeout(() => response.json(body), 1000),
    "no-access-token": without("access_token"),
    "no-token-type": without("token_type"),
    "text-expires-in": (response, body) => response.json({ ...body, expires_in: String(body.expires_in) }),
};
// What goes wrong with a token: other claims, or another header.
const TOKENS = {
    expired: () => [{ iat: later(-4200), exp: later(-600) }],
    "not-yet-valid": () => [{ nbf: later(600), exp: later(1200) }],
    "wrong-audience": () => [{ aud: "https://another-api.example" }],
    "wrong-issuer": () => [{ iss: "https://another-issuer.example" }],
    "wrong-typ": () => [{}, { typ: "JWT" }],
};

function credentials(request) {
    const [, encoded] = /^basic +(.*)$/i.exec(request.get("Authorization") ?? "") ?? [];
    if (!encoded) return [request.body?.client_id, request.body?.client_secret];
    try {
        return Buffer.from(encoded, "base64").toString().split(/:(.*)/s).slice(0, 2).map(decoded);
    } catch {
        return []; // a % that begins no character
    }
}

const same = (one, other) => one?.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));

export async function mockOAuth({ issuer, audience = issuer, clients, seconds = 3600 }) {
    const { publicKey, privateKey } = await generateKeyPair("RS256");
    const kid = await calculateJwkThumbprint(publicKey);
    const jwks = { keys: [{ ...(await exportJWK(publicKey)), use: "sig", alg: "RS256", kid }] };
    const keys = createLocalJWKSet(jwks);
    const oauth = express.Router();
    const next = []; // the names of the faults, one for each of the next requests for a token

    async function issue(clientId, scope, claims = {}, header = {}) {
        const usual = { iss: issuer, aud: audience, sub: clientId, client_id: clientId, scope };
        const times = { iat: later(0), exp: later(seconds), jti: crypto.randomUUID() };
        const protectedHeader = { alg: "RS256", typ: "at+jwt", kid, ...header };
        return new SignJWT({ ...usual, ...times, ...claims }).setProtectedHeader(protectedHeader).sign(privateKey);
    }

    oauth.get("/.well-known/jwks.json", (_, response) => response.json(jwks));
    oauth.get("/.well-known/oauth-authorization-server", (_, response) =>
        response.json({ issuer, token_endpoint: `${issuer}/oauth/token`, jwks_uri: `${issuer}/.well-known/jwks.json`,
            response_types_supported: [], grant_types_supported: ["client_credentials"] }));

    oauth.post("/oauth/token", express.urlencoded({ extended: false }), async (request, response) => {
        response.set({ "Cache-Control": "no-store", Pragma: "no-cache" });
        const [clientId, secret] = credentials(request);
        const client = Object.hasOwn(clients, clientId ?? "") ? clients[clientId] : undefined;
        if (!client || !same(secret, client.secret)) return refuse(response, 401, "invalid_client", 'Basic realm="mock"');
        const { grant_type: grant, scope: requested } = request.body ?? {};
        if (!grant) return refuse(response, 400, "invalid_request");
        if (grant !== "client_credentials") return refuse(response, 400, "unsupported_grant_type");
        const scope = requested || client.scope;
        if (!words(scope).every((word) => words(client.scope).includes(word))) return refuse(response, 400, "invalid_scope");
        const fault = next.shift();
        const token = await issue(clientId, scope, ...(TOKENS[fault]?.() ?? []));
        const body = { token_type: "Bearer", access_token: token, expires_in: seconds, scope };
        return RESPONSES[fault] ? RESPONSES[fault](response, body) : response.json(body);
    });

    // The next `times` requests for a token, with the right secret, meet this fault.
    oauth.fail = (name, times = 1) => {
        if (!RESPONSES[name] && !TOKENS[name]) throw new Error(`there is no fault ${name}`);
        next.push(...Array(times).fill(String(name)));
    };

    oauth.requireScope = (scope) => async (request, response, proceed) => {
        const [, token] = /^bearer +(\S+)$/i.exec(request.get("Authorization") ?? "") ?? [];
        if (!token) return refuse(response, 401, undefined, 'Bearer realm="mock"');
        try {
            const rules = { issuer, audience, typ: "at+jwt", algorithms: ["RS256"] };
            request.token = (await jwtVerify(token, keys, rules)).payload;
        } catch {
            return refuse(response, 401, "invalid_token", 'Bearer realm="mock", error="invalid_token"');
        }
        if (words(request.token.scope).includes(scope)) return proceed();
        const challenge = `Bearer realm="mock", error="insufficient_scope", scope="${scope}"`;
        return refuse(response, 403, "insufficient_scope", challenge);
    };
    return oauth;
}

// `node express.mjs` is a server with one client.
if (process.argv[1] === import.meta.filename) {
    const port = Number(process.env.PORT || 8080);
    const demo = { secret: "kts_demo-admin-is-for-learning-only", scope: "read:logs write:logs read:all_data" };
    const oauth = await mockOAuth({ issuer: `http://127.0.0.1:${port}`, clients: { "demo-admin": demo } });
    const app = express().use(oauth);
    app.get("/admin/logs", oauth.requireScope("read:logs"), (_, response) => response.json({ events: [] }));
    app.listen(port, "127.0.0.1", () => console.log(`The mock is at http://127.0.0.1:${port}`));
}
