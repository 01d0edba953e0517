/** The requests of the lesson, made from a demo client and the addresses in the metadata. */

import { basicHeader, formEncode } from "./basic.js";
import { takeApart } from "./jwt.js";

export const FORM = ["Content-Type", "application/x-www-form-urlencoded"];

/**
 * @typedef {import("./bench.js").Bench} Bench
 * @typedef {import("./sending.js").Request} Request
 */

/** @param {[string, string][]} pairs */
export function form(pairs) {
  return pairs.map((pair) => pair.map(formEncode).join("=")).join("&");
}

/**
 * @param {object} data
 * @param {string} clientId
 * @returns {object | undefined} A demo client.
 */
export function findClient(data, clientId) {
  return data.clients.find((client) => client.client_id === clientId);
}

/**
 * A request to an endpoint at which a client authenticates with Basic.
 *
 * @param {Bench} bench
 * @param {"token" | "introspection" | "revocation"} endpoint
 * @param {object} client
 * @param {[string, string][]} pairs
 * @returns {Request}
 */
export function withBasic(bench, endpoint, client, pairs) {
  const headers = [["Authorization", basicHeader(client.client_id, client.secret)], FORM];
  return { method: "POST", path: bench.path(bench.state.data.endpoints[endpoint]), headers, body: form(pairs) };
}

/**
 * A token request (RFC 6749, section 4.4.2).
 *
 * @param {Bench} bench
 * @param {object} client
 * @param {{scope?: string, inForm?: boolean}} choices Without a scope the client gets its default.
 * @returns {Request}
 */
export function tokenRequest(bench, client, { scope = "", inForm = false } = {}) {
  const pairs = [["grant_type", "client_credentials"], ...(scope ? [["scope", scope]] : [])];
  if (!inForm) return withBasic(bench, "token", client, pairs);
  const credentials = [
    ["client_id", client.client_id],
    ["client_secret", client.secret],
  ];
  return {
    method: "POST",
    path: bench.path(bench.state.data.endpoints.token),
    headers: [FORM],
    body: form([...pairs, ...credentials]),
  };
}

/**
 * A call of a sample route.
 *
 * @param {Bench} bench
 * @param {{method: string, path: string}} call
 * @param {string} token Empty to send none.
 * @returns {Request}
 */
export function apiCall(bench, call, token) {
  const headers = token ? [["Authorization", `Bearer ${token}`]] : [];
  const bodies = { POST: '{"message": "Hello from the playground"}', PUT: '{"quantity": 5}' };
  const body = bodies[call.method] ?? "";
  const below = bench.path(bench.state.data.issuer).replace(/\/$/, "");
  const path = below + call.path.replace("<sku>", "pallet");
  return {
    method: call.method,
    path,
    headers: body ? [...headers, ["Content-Type", "application/json"]] : headers,
    body,
  };
}

/**
 * A route that the scope of a token opens; the first one if there is none.
 *
 * @param {object} data
 * @param {string} token
 * @returns {{method: string, path: string} | undefined} undefined if the sample API is off.
 */
export function routeFor(data, token) {
  const scopes = String(takeApart(token)?.claims?.scope ?? "").split(" ");
  return data.calls.find((call) => call.method === "GET" && scopes.includes(call.scope)) ?? data.calls[0];
}
