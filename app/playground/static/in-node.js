/** A request in Node.js: with fetch, and with openid-client if it requests a token. */

const text = (value) => JSON.stringify(value);
const key = (name) => (/^[A-Za-z_]\w*$/.test(name) ? name : text(name));

function members(pairs) {
  return pairs.map(([name, value]) => `${key(name)}: ${text(value)}`).join(", ");
}

function parameters(form) {
  const isUnique = new Set(form.map(([name]) => name)).size === form.length;
  const isPlain = isUnique && form.every(([name]) => name !== "__proto__");
  return `new URLSearchParams(${isPlain ? `{ ${members(form)} }` : text(form)})`;
}

export function inFetch(found) {
  const headers = [];
  if (found.basic) {
    headers.push(`Authorization: "Basic " + Buffer.from(${text(found.basic.join(":"))}).toString("base64")`);
  }
  if (found.bearer) headers.push(`Authorization: ${text(`Bearer ${found.bearer}`)}`);
  headers.push(...found.headers.map(([name, value]) => `${key(name)}: ${text(value)}`));
  if (found.json) headers.push(`"Content-Type": "application/json"`);
  const lines = [`method: ${text(found.method)}`];
  if (headers.length) lines.push(`headers: {\n    ${headers.join(",\n    ")},\n  }`);
  if (found.form) lines.push(`body: ${parameters(found.form)}`);
  else if (found.json) lines.push(`body: JSON.stringify(${JSON.stringify(found.json.value)})`);
  else if (found.body) lines.push(`body: Buffer.from(${text(found.body)})`); // to a string fetch adds a media type
  return [
    `const response = await fetch(${text(found.url)}, {`,
    ...lines.map((line) => `  ${line},`),
    "});",
    "console.log(response.status, await response.text());",
  ].join("\n");
}

const METHODS = { client_secret_basic: "ClientSecretBasic", client_secret_post: "ClientSecretPost" };

export function inOpenidClient(client, issuer) {
  const insecure = issuer.startsWith("http:");
  const options = ['algorithm: "oauth2", // the metadata of RFC 8414, not of OpenID Connect'];
  if (insecure) options.push("execute: [client.allowInsecureRequests], // plain http, on this machine only");
  const wanted = client.scope ? `{ scope: ${text(client.scope)} }` : "{}";
  return [
    'import * as client from "openid-client"; // npm install openid-client',
    "",
    "const config = await client.discovery(",
    `  new URL(${text(issuer)}),`,
    `  ${text(client.id)},`,
    "  undefined,",
    `  client.${METHODS[client.method]}(${text(client.secret)}),`,
    "  {",
    ...options.map((option) => `    ${option}`),
    "  },",
    ");",
    `const tokens = await client.clientCredentialsGrant(config, ${wanted});`,
    "console.log(tokens.scope, tokens.expires_in);",
  ].join("\n");
}
