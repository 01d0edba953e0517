/** The request of a slip with real values: a client's id and secret, and a token that is requested first. */

import { findClient, form, tokenRequest, withBasic } from "./requests.js";
import { transmit } from "./sending.js";

const FORM = ["Content-Type", "application/x-www-form-urlencoded"];
const PADDING = "x".repeat(17_000);

/**
 * @typedef {import("./bench.js").Bench} Bench
 * @typedef {(sentence: string) => void} Say Called with what is done before the request is sent.
 */

/** @param {string} text */
function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/**
 * @param {string} token
 * @returns {string} The token with one character of its claims changed.
 */
export function tampered(token) {
  const [header, claims, signature] = token.split(".");
  const middle = Math.floor(claims.length / 2);
  const other = claims[middle] === "A" ? "B" : "A";
  return [header, claims.slice(0, middle) + other + claims.slice(middle + 1), signature].join(".");
}

/** The client, with the client id that the slip sends instead of its own. */
function actingAs(slip, client) {
  return slip.acts_as ? { ...client, client_id: slip.acts_as } : client;
}

/**
 * @param {number} seconds
 * @param {Say} say
 */
async function countDown(seconds, say) {
  for (let left = seconds; left > 0; left -= 1) {
    say(`The token expires in ${left} second${left === 1 ? "" : "s"}.`);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

/**
 * @param {object} slip
 * @param {Bench} bench
 * @param {Say} say
 * @returns {Promise<Record<string, string>>} The placeholders that have to do with a token.
 */
async function tokensOf(slip, bench, say) {
  const used = JSON.stringify(slip.request);
  if (!used.includes("token}")) return {};
  const owner = actingAs(slip, findClient(bench.state.data, slip.token_of || slip.client));
  say(`First, ${owner.client_id} requests a token.`);
  const { json } = await transmit(tokenRequest(bench, owner, { scope: slip.scope }));
  if (!json?.access_token) throw new Error(json?.error_description ?? "the server issued no token");
  const { access_token: token, expires_in: seconds } = json;
  if (used.includes("{expired_token}")) await countDown(seconds, say);
  if (used.includes("{revoked_token}")) {
    say(`Then ${owner.client_id} revokes it.`);
    await transmit(withBasic(bench, "revocation", owner, [["token", token]]));
  }
  const half_token = token.slice(0, Math.floor(token.length / 2));
  const tampered_token = used.includes("{tampered_token}") ? tampered(token) : "";
  return { token, half_token, tampered_token, expired_token: token, revoked_token: token };
}

/**
 * @param {object} slip
 * @param {Bench} bench
 * @param {Say} say
 * @returns {Promise<import("./sending.js").Request>}
 * @throws {Error} If a token is needed, and the server issues none.
 */
export async function requestOf(slip, bench, say) {
  const { client_id, secret } = actingAs(slip, findClient(bench.state.data, slip.client));
  const encoded_secret = secret.replaceAll("-", "%2D").replaceAll("_", "%5F");
  const values = { client_id, secret, encoded_secret, basic: base64(`${client_id}:${secret}`), padding: PADDING };
  Object.assign(values, await tokensOf(slip, bench, say));
  const fill = (text) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

  const { request } = slip;
  const headers = request.headers.map(([name, value]) => [name, fill(value)]);
  if (request.basic) headers.unshift(["Authorization", `Basic ${base64(request.basic.map(fill).join(":"))}`]);
  if (request.form) headers.push(FORM);
  const body = request.form ? form(request.form.map((pair) => pair.map(fill))) : (request.body ?? "");
  const below = bench.path(bench.state.data.issuer).replace(/\/$/, "");
  return { method: request.method, path: below + fill(request.path), headers, body };
}
