/** Below the workbench, after a refusal: what the client sees, what the operator sees, what to do. */

import { el, prose } from "./dom.js";
import { members, showOperator } from "./operator.js";

/**
 * @param {HTMLElement} root `#refusal`
 * @param {object} data
 * @returns {{show: (result: import("./sending.js").Result) => void}}
 */
export function startRefusal(root, data) {
  const [client, operator, remedy] = ["client", "operator", "remedy"].map((name) =>
    root.querySelector(`#refusal-${name}`),
  );

  return {
    show: (result) => {
      root.hidden = result.status < 400;
      if (root.hidden) return;
      client.replaceChildren(...told(result));
      remedy.replaceChildren(...whatToDo(result, data));
      showOperator(operator, result, data);
    },
  };
}

/** The members of the error, each with what it is for (RFC 6749, section 5.2). */
function told(result) {
  const error = result.json ?? {};
  return [
    members(["error", "error_description", "hint"].map((name) => [name, error[name]])),
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
