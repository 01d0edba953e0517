// These tests run after every request of this collection.
pm.test("The response has an X-Request-Id: `flask explain` finds the request by it", () => {
    pm.expect(pm.response.headers.get("X-Request-Id")).to.be.a("string").and.match(/^[\w-]{8,}$/);
});

// The responses of the last folder are faulty on purpose: its requests have tests of their own.
if (!pm.info.requestName.startsWith("fault-") && !pm.request.url.toString().includes("/faults/")) {
    pm.test("The response is JSON", () => {
        pm.expect(pm.response.headers.get("Content-Type")).to.match(/^application\/(jwk-set\+)?json(;|$)/);
        if (pm.request.method !== "HEAD") {
            pm.response.json();
        }
    });
    if (!pm.request.url.toString().includes("/.well-known/")) {
        pm.test("No cache stores the response", () => {
            pm.expect(pm.response.headers.get("Cache-Control")).to.eql("no-store");
            if (pm.response.code >= 400 || pm.request.url.toString().includes("/oauth/")) {
                pm.expect(pm.response.headers.get("Pragma")).to.eql("no-cache");
            }
        });
    }

    let received = {};
    try {
        received = pm.response.json();
    } catch (error) {
        // The response to HEAD has no body.
    }

    if (pm.response.code >= 400 && pm.request.method !== "HEAD") {
        pm.test("The refusal says in words what is wrong, and where its error is explained", () => {
            pm.expect(received.error_description).to.be.a("string").and.match(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/);
            if (received.error) {
                pm.expect(received.error_uri).to.eql(pm.variables.replaceIn("{{base_url}}/errors/" + received.error));
            }
            pm.expect(received).to.not.have.property("access_token");
        });
    }

    if ([429, 503].includes(pm.response.code)) {
        pm.test("A response that says later says after how many seconds", () => {
            pm.expect(pm.response.headers.get("Retry-After")).to.be.a("string").and.match(/^[0-9]+$/);
            pm.expect(received.error).to.eql("temporarily_unavailable");
        });
    }

    if (received.access_token) {
        pm.test("The token is a Bearer token for some seconds, and there is no refresh_token", () => {
            pm.expect(received.token_type).to.eql("Bearer");
            pm.expect(received.expires_in).to.be.a("number").and.to.be.above(0);
            pm.expect(received.scope).to.be.a("string").and.match(/^\S+( \S+)*$/);
            pm.expect(received).to.not.have.property("refresh_token");
        });
    }

    if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(received.access_token)) {
        const fromBase64 = require("atob");
        const decode = (part) => JSON.parse(fromBase64(part.replace(/-/g, "+").replace(/_/g, "/")));
        const [header, claims] = received.access_token.split(".").slice(0, 2).map(decode);

        pm.test("The header of the JWT names its type, its algorithm and its key", () => {
            pm.expect(header.typ).to.eql("at+jwt");
            pm.expect(header.alg).to.be.oneOf(["RS256", "ES256"]);
            pm.expect(header.kid).to.be.a("string").and.match(/^[\w-]{43}$/);
        });
        pm.test("The JWT says who issued it, for which API, and for which client", () => {
            const apis = ["{{base_url}}", "{{shipments_audience}}"].map((each) => pm.variables.replaceIn(each));
            pm.expect(claims.iss).to.eql(pm.variables.replaceIn("{{base_url}}"));
            pm.expect(claims.aud).to.be.oneOf(apis);
            pm.expect(claims.client_id).to.be.a("string").and.not.empty;
            pm.expect(claims.sub).to.eql(claims.client_id);
            pm.expect(claims.scope).to.eql(received.scope);
        });
        pm.test("The JWT has an id of its own, was issued now, and expires when expires_in says", () => {
            pm.expect(claims.jti).to.match(/^[\w-]{24}$/);
            pm.expect(claims.iat).to.be.a("number").and.closeTo(Date.now() / 1000, 300);
            pm.expect(claims.exp).to.be.a("number").and.to.eql(claims.iat + received.expires_in);
        });
    }
}
