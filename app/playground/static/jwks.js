/** The public keys of the server, read anew each time: this page shows them change. */

import { transmit } from "./sending.js";

/**
 * @param {import("./bench.js").Bench} bench
 * @returns {Promise<JsonWebKey[]>} Empty if the server does not respond.
 */
export async function readKeys(bench) {
  const path = bench.path(bench.state.data.endpoints.jwks);
  const result = await transmit({ method: "GET", path, headers: [], body: "" });
  return result.json?.keys ?? [];
}
