/** The third column: what the server checked, in order, up to the check that refused the request. */

import { el, prose } from "./dom.js";

/**
 * @param {HTMLElement} root `#checked`
 * @param {Record<string, {title: string, sentence: string, source: string}>} known The checks by name.
 * @returns {{show: (result: import("./sending.js").Result) => void}}
 */
export function startChecked(root, known) {
  const list = root.querySelector("ol");
  const note = root.querySelector("#checked-note");
  return {
    show: (result) => {
      const checks = result.checks ?? [];
      list.replaceChildren(...checks.map(([name, passed]) => item(name, passed, known[name])));
      list.hidden = checks.length === 0;
      note.textContent = conclusion(result, checks);
    },
  };
}

/**
 * @param {string} name
 * @param {boolean} passed
 * @param {{title: string, sentence: string, source: string} | undefined} check
 * @returns {HTMLElement}
 */
function item(name, passed, check) {
  return el(
    "li",
    { "data-check": name, "data-passed": String(passed) },
    el(
      "p",
      { class: "check-sentence" },
      el("span", { class: "mark", "aria-hidden": "true" }, passed ? "✓" : "✗"),
      el("span", {}, ...prose(check?.sentence ?? name), " ", el("cite", {}, check?.source ?? "")),
      el("span", { class: passed ? "unseen" : "verdict" }, passed ? "passed" : "failed"),
    ),
  );
}

/** What the list means as a whole. */
function conclusion(result, checks) {
  if (result.failure === "redirected") return "The response is a redirect, which a browser hides from a page.";
  if (result.failure === "unsendable") return "The server checked nothing: your browser did not send the request.";
  if (result.failure) return "No response came, so there are no checks to show.";
  if (!checks.length) return "The server recorded no checks: this address needs neither a client nor a token.";
  const isAtFault = result.headers.some(([name]) => name.toLowerCase() === "x-keyturn-fault");
  if (isAtFault) return "All checks passed. The fault is the server's: the client id requests it.";
  return checks.at(-1)[1]
    ? "All checks passed."
    : "The server stopped here. It made none of the checks that would follow.";
}
