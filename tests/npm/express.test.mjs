// The tests of mocks/express.mjs, which is beside this file when they run (tests/test_mocks.py). They use it as the
// tests of a client do, in process.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import express from "express";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { mockOAuth } from "./express.mjs";

const ID = "shop-1";
const SECRET = "s3cret: with + and %";
let oauth, server, issuer;

before(async () => {
    const app = express();
    server = await new Promise((resolve) => {
        const started = app.listen(0, "127.0.0.1", () => resolve(started));
    });
    issuer = `http://127.0.0.1:${server.address().port}`;
    oauth = await mockOAuth({ issuer, clients: { [ID]: { secret: SECRET, scope: "orders:read orders:write" } } });
    app.use(oauth);
    app.get("/orders", oauth.requireScope("orders:read"), (request, response) => response.json(request.token.client_id));
    app.delete("/orders", oauth.requireScope("orders:delete"), (_, response) => response.json({}));
});

after(() => server.close());

const encoded = (text) => encodeURIComponent(text).replace(/[-_.!~*'()]/g, (each) => `%${each.charCodeAt(0).toString(16)}`);
const basic = (id, secret) => ({ Authorization: `Basic ${btoa(`${encoded(id)}:${encoded(secret)}`)}` });
const post = (form, headers = {}) =>
    fetch(`${issuer}/oauth/token`, { method: "POST", headers, body: new URLSearchParams(form), signal: AbortSignal.timeout(20_000) });
const granted = (form = {}, headers = basic(ID, SECRET)) => post({ grant_type: "client_credentials", ...form }, headers);
const get = (token, method = "GET") =>
    fetch(`${issuer}/orders`, { method, headers: token ? { Authorization: `Bearer ${token}` } : {} });
const tokenOf = async (form) => (await (await granted(form)).json()).access_token;

test("a token is issued with Basic and with the form, and is verified with the JWKS", async () => {
    for (const response of [await granted(), await granted({ client_id: ID, client_secret: SECRET }, {})]) {
        const body = await response.json();
        assert.equal(response.status, 200);
        assert.equal(response.headers.get("Cache-Control"), "no-store");
        assert.deepEqual({ ...body, access_token: "" },
            { token_type: "Bearer", access_token: "", expires_in: 3600, scope: "orders:read orders:write" });
        const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));
        const { payload } = await jwtVerify(body.access_token, keys, { issuer, audience: issuer, typ: "at+jwt" });
        assert.equal(payload.exp - payload.iat, 3600);
        assert.equal(payload.client_id, ID);
    }
});

test("the metadata names the endpoints", async () => {
    const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
    assert.equal(metadata.issuer, issuer);
    assert.equal(metadata.token_endpoint, `${issuer}/oauth/token`);
});

const REFUSED = [
    ["a wrong secret", 401, "invalid_client", () => granted({}, basic(ID, "wrong"))],
    ["a secret that begins right", 401, "invalid_client", () => granted({}, basic(ID, SECRET.slice(1)))],
    ["an unknown client", 401, "invalid_client", () => granted({}, basic("nobody", SECRET))],
    ["a name of JavaScript's", 401, "invalid_client", () => granted({}, basic("constructor", SECRET))],
    ["half a character", 401, "invalid_client", () => granted({}, { Authorization: `Basic ${btoa("%:%")}` })],
    ["no credentials", 401, "invalid_client", () => granted({}, {})],
    ["no grant", 400, "invalid_request", () => post({}, basic(ID, SECRET))],
    ["another grant", 400, "unsupported_grant_type", () => granted({ grant_type: "password" })],
    ["another scope", 400, "invalid_scope", () => granted({ scope: "orders:read everything" })],
];
for (const [name, status, error, send] of REFUSED) {
    test(`${name} is refused`, async () => {
        const response = await send();
        assert.equal(response.status, status);
        assert.equal((await response.json()).error, error);
        assert.equal(response.headers.has("WWW-Authenticate"), status === 401);
    });
}

test("a route is opened by the scope alone", async () => {
    const token = await tokenOf({ scope: "orders:read" });
    assert.equal((await get(token)).status, 200);
    const narrow = await get(await tokenOf({ scope: "orders:write" }));
    assert.equal(narrow.status, 403);
    assert.match(narrow.headers.get("WWW-Authenticate"), /error="insufficient_scope", scope="orders:read"$/);
    assert.equal((await get(token, "DELETE")).status, 403);
    const none = await get();
    assert.equal(none.status, 401);
    assert.equal(none.headers.get("WWW-Authenticate"), 'Bearer realm="mock"');
    assert.equal((await get(`${token}A`)).status, 401);
    assert.equal((await get("garbage")).status, 401);
});

test("fail() is for the next request alone, and only with the right secret", async () => {
    for (const status of [401, 429, 500, 503]) {
        oauth.fail(status);
        assert.equal((await granted({}, basic(ID, "wrong"))).status, 401);
        const failed = await granted();
        assert.equal(failed.status, status);
        assert.equal(failed.headers.get("Retry-After"), [429, 503].includes(status) ? "1" : null);
        assert.equal((await granted()).status, 200);
    }
    oauth.fail("429", 2);
    assert.deepEqual([(await granted()).status, (await granted()).status, (await granted()).status], [429, 429, 200]);
    assert.throws(() => oauth.fail("42x"), /there is no fault 42x/);
});

test("fail() changes the response", async () => {
    oauth.fail("drop");
    await assert.rejects(granted(), TypeError);
    oauth.fail("html");
    assert.match(await (await granted()).text(), /^<!doctype html>/);
    for (const name of ["access_token", "token_type"]) {
        oauth.fail(`no-${name.replace("_", "-")}`);
        const body = await (await granted()).json();
        assert.ok(!(name in body) && "expires_in" in body);
    }
    oauth.fail("text-expires-in");
    assert.equal((await (await granted()).json()).expires_in, "3600");
    oauth.fail("slow-1s");
    const begin = performance.now();
    assert.equal((await granted()).status, 200);
    assert.ok(performance.now() - begin > 990);
});

for (const name of ["expired", "not-yet-valid", "wrong-audience", "wrong-issuer", "wrong-typ"]) {
    test(`a token with the fault ${name} is refused`, async () => {
        oauth.fail(name);
        const response = await get(await tokenOf());
        assert.equal(response.status, 401);
        assert.match(response.headers.get("WWW-Authenticate"), /error="invalid_token"/);
        assert.equal((await get(await tokenOf())).status, 200);
    });
}
