// Fills the placeholders of a slip with real values: a client's id and secret, and a token that is
// requested, left to expire, changed or revoked first. tests/support/slip_requests.py does the same.

const PADDING = "x".repeat(17000);
const FORM = "application/x-www-form-urlencoded";

export const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

export const basic = (client) => "Basic " + base64(`${client.client_id}:${client.secret}`);

/** Send a request that is not the learner's own: it is not recorded, and not shown in the bench. */
export function aside(url, options = {}) {
  return fetch(url, { credentials: "omit", cache: "no-store", redirect: "manual", ...options });
}

async function post(url, client, form) {
  const headers = { Authorization: basic(client), "Content-Type": FORM };
  const response = await aside(url, { method: "POST", headers, body: new URLSearchParams(form).toString() });
  return response.json();
}

export async function requestToken(data, client, scope = "") {
  const form = { grant_type: "client_credentials", ...(scope && { scope }) };
  const issued = await post(data.endpoints.token, client, form);
  if (!issued.access_token) throw new Error(issued.error_description || "no token was issued");
  return issued;
}

/** The token with one character of its claims changed. */
export function tampered(token) {
  const [header, claims, signature] = token.split(".");
  const middle = Math.floor(claims.length / 2);
  const other = claims[middle] === "A" ? "B" : "A";
  return [header, claims.slice(0, middle) + other + claims.slice(middle + 1), signature].join(".");
}

function wait(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function countDown(seconds, say) {
  for (let left = seconds; left > 0; left -= 1) {
    say(`The token expires in ${left} second${left === 1 ? "" : "s"}.`);
    await wait(1000);
  }
}

/** The values that the placeholders of a slip stand for; `say` is called with what is done meanwhile. */
async function valuesOf(slip, data, say) {
  const find = (id) => data.clients.find((client) => client.client_id === id);
  const client = find(slip.client);
  const values = {
    client_id: client.client_id,
    secret: client.secret,
    encoded_secret: client.secret.replaceAll("-", "%2D").replaceAll("_", "%5F"),
    basic: base64(`${client.client_id}:${client.secret}`),
    padding: PADDING,
  };
  const used = JSON.stringify(slip.request);
  if (!used.includes("token}")) return values;
  const owner = find(slip.token_of || slip.client);
  say(`First, ${owner.client_id} requests a token.`);
  const issued = await requestToken(data, owner, slip.scope);
  const token = issued.access_token;
  Object.assign(values, { token, expired_token: token, revoked_token: token });
  values.half_token = token.slice(0, Math.floor(token.length / 2));
  if (used.includes("{tampered_token}")) values.tampered_token = tampered(token);
  if (used.includes("{expired_token}")) await countDown(issued.expires_in, say);
  if (used.includes("{revoked_token}")) {
    say(`Then ${owner.client_id} revokes it.`);
    await post(data.endpoints.revocation, owner, { token });
  }
  return values;
}

/** The request of a slip as the bench loads it: `{method, path, headers, body}`. */
export async function requestOf(slip, data, say) {
  const values = await valuesOf(slip, data, say);
  const fill = (text) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  const { request } = slip;
  const headers = request.headers.map(([name, value]) => [name, fill(value)]);
  if (request.basic) headers.unshift(["Authorization", "Basic " + base64(request.basic.map(fill).join(":"))]);
  let body = request.body ?? "";
  if (request.form) {
    headers.push(["Content-Type", FORM]);
    body = new URLSearchParams(request.form.map(([name, value]) => [name, fill(value)])).toString();
  }
  const below = new URL(data.issuer).pathname.replace(/\/$/, "");
  return { method: request.method, path: below + fill(request.path), headers, body };
}
