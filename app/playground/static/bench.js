/** The workbench: a request that can be edited, what travels, and what the server checked. */

import { startBar } from "./bar.js";
import { startChecked } from "./checked.js";
import { recall, remember } from "./memory.js";
import { transmitRecorded } from "./recording.js";
import { startRefusal } from "./refusal.js";
import { startRequestForm } from "./request-form.js";
import { startStatus } from "./status.js";
import { startWire } from "./wire.js";

/**
 * @typedef {import("./sending.js").Request} Request
 * @typedef {import("./sending.js").Result} Result
 *
 * @typedef {object} State
 * @property {object} data What `/playground/data.json` holds.
 * @property {Record<string, string>} tokens The last tokens by name; `token` is the newest that a request got.
 * @property {Result | null} last The last result.
 *
 * @typedef {object} Bench
 * @property {State} state
 * @property {(request: Partial<Request>) => void} load Fill the form; what is not named is empty.
 * @property {() => Request} request The request that is in the form now.
 * @property {() => Promise<Result>} send Send what is in the form, and show what happens.
 * @property {(request: Partial<Request>) => Promise<Result>} run Load a request and send it.
 * @property {() => void} cancel Wait no longer for the response.
 * @property {(callback: (result: Result) => void) => void} onResult Be called after each response or failure.
 * @property {(callback: (request: Request) => void) => void} onChange Be called after each change of the form.
 * @property {(name: string, token: string) => void} keep Store a token under a name.
 * @property {(url: string) => string} path The path of an endpoint, from its address in the data.
 */

/**
 * Show whether the response belongs to an earlier request than the one in the form.
 *
 * @param {boolean} isStale
 */
function markStale(isStale) {
  for (const each of document.querySelectorAll("#bench .stale")) each.hidden = !isStale;
}

/**
 * @param {object} data
 * @returns {Bench}
 */
export function startBench(data) {
  const state = { data, tokens: recall("tokens", {}), last: null };
  const results = [];
  const changes = [];
  let flight = null;

  const form = startRequestForm(document.querySelector("#send"), (request) => {
    remember("request", request);
    wire.showRequest(request);
    markStale(state.last !== null && JSON.stringify(request) !== JSON.stringify(state.last.request));
    for (const each of changes) each(request);
  });
  const wire = startWire(document.querySelector("#travels"));
  const checked = startChecked(document.querySelector("#checked"), data.checks);
  const bar = startBar(document.querySelector("#bar"), data.checks);
  const status = startStatus(document.querySelector("#status"), {
    send: () => bench.send(),
    cancel: () => bench.cancel(),
  });
  const refusal = startRefusal(document.querySelector("#refusal"), data);

  const bench = {
    state,
    load: (request) => form.load({ method: "GET", path: "/", headers: [], body: "", ...request }),
    request: form.read,
    run: (request) => {
      bench.load(request);
      return bench.send();
    },
    send: async () => {
      flight?.abort();
      const mine = new AbortController();
      flight = mine;
      const request = form.read();
      status.waiting(request);
      markStale(state.last !== null);
      const result = await transmitRecorded(request, mine.signal);
      if (flight !== mine) return result; // another request was sent meanwhile
      flight = null;
      show(result);
      return result;
    },
    cancel: () => flight?.abort(),
    onResult: (callback) => results.push(callback),
    onChange: (callback) => changes.push(callback),
    keep: (name, token) => {
      state.tokens[name] = token;
      remember("tokens", state.tokens);
    },
    path: (url) => new URL(url).pathname,
  };

  /** @param {Result} result */
  function show(result) {
    state.last = result;
    const token = result.status === 200 && result.json?.access_token;
    if (token) bench.keep("token", token);
    status.ended(result);
    bar.show(result);
    wire.showResponse(result);
    checked.show(result);
    refusal.show(result);
    markStale(JSON.stringify(form.read()) !== JSON.stringify(result.request));
    for (const each of results) each(result);
  }

  return bench;
}
