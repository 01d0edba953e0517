/** The lesson's progress, as `flask lesson` shows it: which steps the requests so far have done. */

import { el, prose } from "./dom.js";
import { transmit } from "./sending.js";

/** Where on this page a step is done; the others need a terminal. */
const HERE = {
  1: "token",
  2: "token",
  3: "token",
  4: "token",
  5: "call",
  6: "call",
  7: "break",
  8: "call",
  9: "call",
  10: "break",
};

/**
 * @typedef {{number: number, title: string, sentence: string, command: string, done: boolean, note: string}} Step
 *
 * @param {HTMLElement} root
 * @param {import("./bench.js").Bench} bench
 */
export function startProgress(root, bench) {
  const path = new URL("progress.json", import.meta.url).pathname;
  show(root, bench.state.data.lesson);
  bench.onResult(async () => {
    const result = await transmit({ method: "GET", path, headers: [], body: "" });
    const steps = Array.isArray(result.json) ? result.json : result.json?.lesson;
    if (steps) show(root, steps);
  });
}

/**
 * @param {HTMLElement} root
 * @param {Step[]} steps
 */
function show(root, steps = []) {
  root.hidden = steps.length === 0;
  const done = steps.filter((step) => step.done).length;
  const next = steps.find((step) => !step.done);
  root.querySelector("#progress-count").textContent = `${done} of ${steps.length} steps done`;
  const meter = root.querySelector("progress");
  [meter.max, meter.value] = [steps.length || 1, done];
  root.querySelector("#progress-next").replaceChildren(...(next ? coming(next) : ["All steps are done."]));
  root
    .querySelector("ol")
    .replaceChildren(
      ...steps.map((step) =>
        el(
          "li",
          { class: step.done ? "done" : null },
          el("span", { class: "mark", "aria-hidden": "true" }, step.done ? "✓" : "·"),
          `${step.number} ${step.title}`,
          el("span", { class: "verdict" }, step.done ? "done" : "open"),
        ),
      ),
    );
}

/**
 * What comes next, and what the last attempt lacked.
 *
 * @param {Step} step
 * @returns {(Node | string)[]}
 */
function coming({ number, title, sentence, command, note }) {
  const place = HERE[number];
  const lacked = note && ` ${note.charAt(0).toUpperCase()}${note.slice(1)}${/[.?]$/.test(note) ? "" : "."}`;
  return [
    `Step ${number}: `,
    place ? el("a", { href: `#step-${place}` }, title) : title,
    ". ",
    ...prose(`${sentence}${lacked}`),
    ...(place ? [] : [" In a terminal: ", el("code", {}, command)]),
  ];
}
