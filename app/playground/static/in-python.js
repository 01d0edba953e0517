/** A request in Python: with requests, and with Authlib where Authlib has a call for it. */

// A string of JSON is one of Python, except for half a surrogate pair, which no UTF-8 has.
const text = (value) => JSON.stringify(value);

// requests encodes credentials as Latin-1, unless they are bytes.
const credential = (value) => (/^[\x20-\x7e]*$/.test(value) ? text(value) : `${text(value)}.encode()`);

function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return dictionary(Object.entries(value));
  return typeof value === "string" ? text(value) : String(value);
}

function dictionary(pairs) {
  return `{${pairs.map(([name, value]) => `${text(name)}: ${literal(value)}`).join(", ")}}`;
}

const isUnique = (pairs) => new Set(pairs.map(([name]) => name)).size === pairs.length;

function pairsOf(pairs) {
  return isUnique(pairs) ? dictionary(pairs) : `[${pairs.map((pair) => `(${pair.map(text).join(", ")})`).join(", ")}]`;
}

export function inRequests(found) {
  const headers = found.bearer ? [["Authorization", `Bearer ${found.bearer}`], ...found.headers] : found.headers;
  const lines = [text(found.url)];
  if (found.basic) lines.push(`auth=(${found.basic.map(credential).join(", ")})`);
  if (headers.length) lines.push(`headers=${dictionary(headers)}`);
  if (found.form) lines.push(`data=${pairsOf(found.form)}`);
  else if (found.json) lines.push(`json=${literal(found.json.value)}`);
  else if (found.body) lines.push(`data=${text(found.body)}.encode()`);
  lines.push("timeout=10");
  const known = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"].includes(found.method);
  const call = known ? found.method.toLowerCase() : `request`;
  if (!known) lines.unshift(text(found.method));
  return [
    "import requests",
    "",
    `response = requests.${call}(`,
    ...lines.map((line) => `    ${line},`),
    ")",
    "print(response.status_code, response.text)",
  ].join("\n");
}

const AUTHLIB = "from authlib.integrations.requests_client import OAuth2Session\n\n";

/** The request with Authlib, or null: Authlib builds requests itself, so most slips cannot be made with it. */
export function inAuthlib(found, client) {
  if (client && /^[\x20-\x7e]*$/.test(client.id + client.secret)) {
    const scope = client.scope ? `    scope=${text(client.scope)},\n` : "";
    return (
      AUTHLIB +
      `client = OAuth2Session(\n    ${text(client.id)},\n    ${text(client.secret)},\n${scope}` +
      `    token_endpoint_auth_method=${text(client.method)},\n)\n` +
      `token = client.fetch_token(${text(found.url)}, grant_type="client_credentials")\n` +
      `print(token["scope"], token["expires_in"])`
    );
  }
  const isCall = found.bearer && !found.form && !found.headers.length && (found.json || !found.body);
  if (!isCall) return null;
  const json = found.json ? `, json=${literal(found.json.value)}` : "";
  return (
    AUTHLIB +
    `token = {"access_token": ${text(found.bearer)}, "token_type": "Bearer"}\n` +
    `client = OAuth2Session(token=token)\n` +
    `response = client.request(${text(found.method)}, ${text(found.url)}${json})\n` +
    "print(response.status_code, response.text)"
  );
}
