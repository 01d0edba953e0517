/** What the operator sees of a request: the command `flask explain`, and the event that it finds. */

import { el } from "./dom.js";
import { explain } from "./explain.js";

/**
 * Show it, at first without the event, which another worker may still have to write.
 *
 * @param {HTMLElement} root
 * @param {import("./sending.js").Result} result
 * @param {object} data
 */
export async function showOperator(root, result, data) {
  const command = el("pre", {}, el("code", {}, `$ .venv/bin/flask explain ${result.requestId}`));
  root.replaceChildren(command, el("p", { class: "none" }, "Reading the audit trail …"));
  const event = result.status === 404 ? null : await explain(result.requestId, data);
  if (command.parentNode !== root) return; // another response came meanwhile
  root.replaceChildren(command, ...(event ? [facts(event)] : withoutEvent(result, data)));
}

/**
 * @param {[string, string | Node | undefined][]} rows Names and values; a row without a value is left out.
 * @returns {HTMLElement}
 */
export function members(rows) {
  const given = rows.filter(([, value]) => value);
  return el("dl", { class: "members" }, ...given.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** @param {import("./explain.js").Event} event */
function facts(event) {
  const [code, ...because] = (event.reason ?? "").split(": ");
  return members([
    ["when", new Date(event.at * 1000).toISOString().replace("T", " ").slice(0, 19)],
    ["what", event.event],
    ["client", event.client_id],
    ["error", because.length ? code : ""],
    ["because", because.join(": ") || code],
    ["counted", event.count > 1 ? String(event.count) : ""],
  ]);
}

function withoutEvent(result, data) {
  if (result.status === 404) {
    const { error, hint } = result.json ?? {};
    const found = members([
      ["error", error],
      ["because", hint],
    ]);
    return [found, el("p", { class: "note" }, "The journal of requests has this, too: a 404 is not in the audit trail.")];
  }
  const sentence = data.endpoints.logs
    ? "The audit trail has no event with this request id."
    : "The sample API is off, so this page cannot read the audit trail: run this command in a terminal.";
  return [el("p", {}, sentence)];
}
