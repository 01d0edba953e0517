/** Below the workbench, after a refusal: what the client is told, what the operator sees, what to do. */

import { el, prose } from "./dom.js";
import { explain } from "./explain.js";

/**
 * @param {HTMLElement} root `#refusal`
 * @param {object} data
 * @returns {{show: (result: import("./sending.js").Result) => void}}
 */
export function startRefusal(root, data) {
  const [client, operator, remedy] = ["client", "operator", "remedy"].map((name) =>
    root.querySelector(`#refusal-${name}`),
  );
  let latest = "";

  async function showOperator(result) {
    latest = result.requestId;
    operator.replaceChildren(command(result.requestId), el("p", { class: "none" }, "Reading the audit trail …"));
    const event = await explain(result.requestId, data);
    if (latest !== result.requestId) return; // another response came meanwhile
    operator.replaceChildren(command(result.requestId), event ? facts(event) : nothingFound(result, data));
  }

  return {
    show: (result) => {
      root.hidden = result.status < 400;
      if (root.hidden) return;
      client.replaceChildren(...told(result));
      remedy.replaceChildren(...whatToDo(result, data));
      showOperator(result);
    },
  };
}

/** The members of the error, each with what it is for (RFC 6749, section 5.2). */
function told(result) {
  const error = result.json ?? {};
  const rows = ["error", "error_description", "hint"].filter((name) => error[name]);
  return [
    el("dl", { class: "members" }, ...rows.flatMap((name) => [el("dt", {}, name), el("dd", {}, String(error[name]))])),
    error.hint
      ? el(
          "p",
          { class: "note" },
          "In production there is no ",
          el("code", {}, "hint"),
          ": it would help an attacker too.",
        )
      : el("p", { class: "note" }, "The response has no hint."),
  ];
}

function command(requestId) {
  return el("pre", {}, el("code", {}, `$ flask explain ${requestId}`));
}

/** @param {import("./explain.js").Event} event */
function facts(event) {
  const [code, ...because] = (event.reason ?? "").split(": ");
  const rows = [
    ["when", new Date(event.at * 1000).toISOString().replace("T", " ").slice(0, 19)],
    ["what", event.event],
    ["client", event.client_id],
    ["error", because.length ? code : ""],
    ["because", because.join(": ") || code],
    ["counted", event.count > 1 ? String(event.count) : ""],
  ].filter(([, value]) => value);
  return el("dl", { class: "members" }, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function nothingFound(result, data) {
  if (!data.endpoints.logs)
    return el("p", {}, "Run this command in a terminal: the sample API is off, so this page cannot.");
  if (result.status === 404) return el("p", {}, "A 404 is in the log only, not in the audit trail.");
  return el("p", {}, "The audit trail has no event with this request id.");
}

function whatToDo(result, data) {
  const name = result.json?.error;
  const code = data.codes[name];
  if (!code)
    return [
      el(
        "p",
        {},
        result.status === 401
          ? "No token was sent, so the challenge in WWW-Authenticate names no error code (RFC 6750, section 3.1)."
          : "This response names no error code.",
      ),
    ];
  return [
    el("p", {}, ...prose(code.meaning)),
    el("p", {}, el("a", { href: result.json.error_uri ?? code.page }, `All causes of ${name}, and what to do`)),
  ];
}
