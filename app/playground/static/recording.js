/** A request whose checks the server lists: the learner's own, and none that the page makes for itself. */

import { transmit } from "./sending.js";

/** In development the server lists its checks in the response to a request with this header. */
export const RECORD = ["X-Keyturn-Checks", "record"];

/**
 * @param {import("./sending.js").Request} request
 * @param {AbortSignal} signal
 * @returns {Promise<import("./sending.js").Result>}
 */
export async function transmitRecorded(request, signal) {
  const result = await transmit({ ...request, headers: [...request.headers, RECORD] }, signal);
  return { ...result, request };
}
