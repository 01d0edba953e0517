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
      el("span", { class: "verdict" }, passed ? "passed" : "failed"),
    ),
  );
}

/** What the list means as a whole. */
function conclusion(result, checks) {
  if (result.failure) return "The server checked nothing: no response came.";
  if (!checks.length) return "The server recorded no check: nothing at this address decides about tokens or clients.";
  return checks.at(-1)[1]
    ? "All checks passed."
    : "The server stopped here. It made none of the checks that would follow.";
}
