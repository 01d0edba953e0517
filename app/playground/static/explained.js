// What `flask explain` says about a request, from the audit trail, which demo-admin may read.

import { aside, requestToken } from "./slip_request.js";

const ATTEMPTS = 8; // another worker's events appear within a second
const PAUSE = 250;

/** The lines of `flask explain`, as pairs of a name and a text; an empty list if the trail has no event. */
export async function explained(requestId, data) {
  const admin = data.clients.find((client) => client.client_id === "demo-admin");
  if (!admin || !requestId || !data.endpoints.logs) return [];
  const { access_token: token } = await requestToken(data, admin, "read:logs");
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const headers = { Authorization: `Bearer ${token}` };
    const response = await aside(`${data.endpoints.logs}?limit=50`, { headers });
    const { events = [] } = await response.json();
    const found = events.find((event) => event.request_id === requestId);
    if (found) return lines(found, data);
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  return [];
}

function lines(event, data) {
  const [, code, because] = /^(\w+): (.*)$/s.exec(event.reason ?? "") ?? [];
  const known = code in data.codes;
  const found = [
    ["when", new Date(event.at * 1000).toISOString().replace(".000Z", "Z")],
    ["what", event.event],
    ["client", event.client_id],
    ["error", known ? code : null],
    ["because", known ? because : event.reason],
    ["meaning", known ? data.codes[code].meaning : null],
    ["page", known ? data.codes[code].page : null],
  ];
  return found.filter(([, text]) => text);
}
