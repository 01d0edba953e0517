/** What `flask explain REQUEST_ID` shows: the audit trail, read through the API with a token of `demo-admin`. */

import { basicHeader } from "./basic.js";
import { transmit } from "./sending.js";

const READER = "demo-admin";
const FORM = ["Content-Type", "application/x-www-form-urlencoded"];
const WAITS = [0, 500, 700, 1_000]; // milliseconds; another worker writes its events within a second
let token = "";

/**
 * @typedef {object} Event
 * @property {number} at Seconds since the epoch.
 * @property {string} event
 * @property {string} [client_id]
 * @property {string} [reason]
 * @property {number} count
 */

/**
 * @param {string} requestId
 * @param {object} data
 * @returns {Promise<Event | null>} null if the trail has no such event, or cannot be read.
 */
export async function explain(requestId, data) {
  const reader = data.clients.find((client) => client.client_id === READER);
  if (!reader || !data.endpoints.logs) return null;
  for (const wait of WAITS) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const events = await read(reader, data);
    const found = events?.find((event) => event.request_id === requestId);
    if (found || !events) return found ?? null;
  }
  return null;
}

/** @returns {Promise<Event[] | null>} The newest events. */
async function read(reader, data) {
  const logs = new URL(data.endpoints.logs).pathname;
  for (const isFresh of [false, true]) {
    if (isFresh || !token) token = await request(reader, data);
    const result = await transmit({
      method: "GET",
      path: `${logs}?limit=100`,
      headers: [["Authorization", `Bearer ${token}`]],
      body: "",
    });
    // After a 401 the token has expired, or its key was withdrawn.
    if (result.status !== 401) return result.json?.events ?? null;
  }
  return null;
}

/** @returns {Promise<string>} A token that may read the audit trail. */
async function request(reader, data) {
  const path = new URL(data.endpoints.token).pathname;
  const headers = [["Authorization", basicHeader(reader.client_id, reader.secret)], FORM];
  const result = await transmit({
    method: "POST",
    path,
    headers,
    body: "grant_type=client_credentials&scope=read%3Alogs",
  });
  return result.json?.access_token ?? "";
}
