// Lets one client from npm meet faults of a server: `real_clients.mjs CLIENT ISSUER NAME…`, where a name is that of a
// fault client or of an issuer at fault. Prints, for each name in order, a line of JSON: what the client did.
// tests/support/python_clients.py does the same with clients in Python, and tests/test_real_clients.py compares both
// with docs/real-clients.md.
import { subscribe } from "node:diagnostics_channel";
import { createRequire } from "node:module";
import * as oauth4webapi from "oauth4webapi";
import * as openid from "openid-client";

const { ClientCredentials } = createRequire(import.meta.url)("simple-oauth2");
const [, , name, server, ...faults] = process.argv;
const SECRET = "kts_fault-is-for-learning-only";
const SCOPE = "read:logs reports:read inventory:read";
const INSECURE = { [oauth4webapi.allowInsecureRequests]: true };
const INVENTORY = new URL(`${server}/inventory`);

// The paths of what the client sends, by fetch or by node:http.
let sent = [];
subscribe("undici:request:create", ({ request }) => sent.push(request.path));
subscribe("http.client.request.start", ({ request }) => sent.push(request.path));

// Each has `fetchToken(clientId)`, which returns the members of the token response, `use(token)`, which returns the
// status of the API's response; if the client reads metadata, `discover(issuer)`; and if it has a part for an API,
// `check(issuer, token)`.
const CLIENTS = {
    "openid-client": {
        fetchToken: async (clientId) => {
            const metadata = { issuer: server, token_endpoint: `${server}/oauth/token` };
            const config = new openid.Configuration(metadata, clientId, undefined, openid.ClientSecretBasic(SECRET));
            openid.allowInsecureRequests(config);
            CLIENTS[name].config = config;
            return openid.clientCredentialsGrant(config, { scope: SCOPE });
        },
        use: async (token) =>
            (await openid.fetchProtectedResource(CLIENTS[name].config, token, INVENTORY, "GET")).status,
        discover: (issuer) =>
            openid.discovery(new URL(issuer), "fault", undefined, openid.ClientSecretBasic(SECRET), {
                algorithm: "oauth2",
                execute: [openid.allowInsecureRequests],
            }),
    },
    oauth4webapi: {
        fetchToken: async (clientId) => {
            const as = { issuer: server, token_endpoint: `${server}/oauth/token` };
            const client = { client_id: clientId };
            const authentication = oauth4webapi.ClientSecretBasic(SECRET);
            const parameters = new URLSearchParams({ scope: SCOPE });
            const response = await oauth4webapi.clientCredentialsGrantRequest(
                as, client, authentication, parameters, INSECURE);
            return oauth4webapi.processClientCredentialsResponse(as, client, response);
        },
        use: async (token) =>
            (await oauth4webapi.protectedResourceRequest(token, "GET", INVENTORY, undefined, null, INSECURE)).status,
        discover: async (issuer) => {
            const url = new URL(issuer);
            const response = await oauth4webapi.discoveryRequest(url, { algorithm: "oauth2", ...INSECURE });
            return oauth4webapi.processDiscoveryResponse(url, response);
        },
        check: async (issuer, token) => {
            const request = new Request(INVENTORY, { headers: { Authorization: `Bearer ${token}` } });
            const as = await CLIENTS.oauth4webapi.discover(issuer);
            return oauth4webapi.validateJwtAccessToken(as, request, server, INSECURE);
        },
    },
    "simple-oauth2": {
        fetchToken: async (clientId) => {
            const auth = { tokenHost: server, tokenPath: "/oauth/token" };
            const client = new ClientCredentials({ client: { id: clientId, secret: SECRET }, auth });
            return (await client.getToken({ scope: SCOPE })).token;
        },
        use: async (token) => (await fetch(INVENTORY, { headers: { Authorization: `Bearer ${token}` } })).status,
    },
};

function raised(error) {
    // What fails below `fetch` is its cause.
    const cause = error.cause instanceof Error ? error.cause : {};
    const detail = error.error ?? error.code ?? cause.code ?? error.output?.statusCode ?? "";
    return { raises: error.name === "Error" ? error.constructor.name : error.name, detail: String(detail) };
}

async function requestToken(fault) {
    sent = [];
    try {
        const { access_token: token = false, expires_in: seconds = null } = await CLIENTS[name].fetchToken(fault);
        return { token, expires_in: seconds, sent: [...sent] };
    } catch (error) {
        return { ...raised(error), sent: [...sent] };
    }
}

async function use(token) {
    try {
        return { status: await CLIENTS[name].use(token) };
    } catch (error) {
        return raised(error);
    }
}

async function discover(issuer) {
    if (!CLIENTS[name].discover) return {};
    try {
        await CLIENTS[name].discover(issuer);
        return { reads: true };
    } catch (error) {
        return { reads: true, ...raised(error) };
    }
}

async function check(issuer, token) {
    try {
        await CLIENTS[name].check(issuer, token);
        return {};
    } catch (error) {
        return raised(error);
    }
}

async function tokenOf(issuer) {
    const headers = { Authorization: `Basic ${btoa(`fault:${SECRET}`)}` };
    const body = new URLSearchParams({ grant_type: "client_credentials", scope: SCOPE });
    return (await (await fetch(`${issuer}/oauth/token`, { method: "POST", headers, body })).json()).access_token;
}

async function meet(fault) {
    const isIssuer = fault.startsWith("/");
    const issuer = isIssuer ? server + fault : server;
    const found = isIssuer ? { discovered: await discover(issuer) } : await requestToken(fault);
    const token = isIssuer ? await tokenOf(issuer) : found.token;
    if (found.token) Object.assign(found, { token: true, used: await use(token) });
    if (token && CLIENTS[name].check) found.checked = await check(issuer, token);
    return found;
}

for (const fault of faults) console.log(JSON.stringify(await meet(fault)));
