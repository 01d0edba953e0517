/** A request, sent with `fetch` to the server that served this page. */

/**
 * @typedef {object} Request
 * @property {string} method
 * @property {string} path From the root of the server, such as `/oauth/token`.
 * @property {[string, string][]} headers
 * @property {string} body
 */

/**
 * @typedef {object} Result
 * @property {Request} request What was sent.
 * @property {number} status 0 if there was no response; `failure` says why.
 * @property {"" | "unsendable" | "unreachable" | "redirected" | "cancelled"} failure
 * @property {string} fault With `unsendable`: what the browser objects to.
 * @property {string} reasonPhrase
 * @property {[string, string][]} headers
 * @property {string} body
 * @property {unknown} json The body, if it is JSON; otherwise undefined.
 * @property {[string, boolean][] | null} checks What the server checked, in order; null if it sent no list.
 * @property {string} requestId
 * @property {number} retryAfter Seconds, 0 if the response does not say.
 */

/**
 * @param {Request} request
 * @param {AbortSignal} [signal]
 * @returns {Promise<Result>}
 */
export async function transmit(request, signal) {
  let outgoing;
  try {
    outgoing = prepare(request, signal);
  } catch (error) {
    return failed(request, "unsendable", error.message);
  }
  try {
    const response = await fetch(outgoing);
    if (response.type === "opaqueredirect") return failed(request, "redirected"); // all of it is hidden from a page
    return read(request, response, await response.text());
  } catch {
    return failed(request, signal?.aborted ? "cancelled" : "unreachable");
  }
}

/**
 * @param {Request} request
 * @param {AbortSignal} [signal]
 * @returns {globalThis.Request}
 * @throws {TypeError} If no browser sends such a request.
 */
function prepare({ method, path, headers, body }, signal) {
  const url = new URL(path, location.origin);
  if (url.origin !== location.origin) throw new TypeError(`this page may send requests to ${location.origin} only`);
  return new Request(url, {
    method,
    headers: new Headers(headers.filter(([name]) => name)),
    // As bytes: to a text the browser would add a media type, and then a missing one could not be seen.
    body: body ? new TextEncoder().encode(body) : null,
    credentials: "omit", // otherwise the browser shows its own password dialogue after a 401
    cache: "no-store",
    redirect: "manual",
    signal,
  });
}

/** @returns {Result} */
function read(request, response, body) {
  const get = (name) => response.headers.get(name) ?? "";
  return {
    request,
    status: response.status,
    failure: "",
    fault: "",
    reasonPhrase: response.statusText,
    headers: [...response.headers],
    body,
    json: parse(body),
    checks: parse(get("X-Keyturn-Checks")) ?? null,
    requestId: get("X-Request-Id"),
    retryAfter: Number(get("Retry-After")) || 0,
  };
}

/** @returns {Result} */
function failed(request, failure, fault = "") {
  const nothing = { status: 0, reasonPhrase: "", headers: [], body: "", json: undefined };
  return { request, failure, fault, ...nothing, checks: null, requestId: "", retryAfter: 0 };
}

/**
 * @param {string} text
 * @returns {unknown} undefined if it is not JSON.
 */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
