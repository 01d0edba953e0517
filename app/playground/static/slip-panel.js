/** One slip: the question, three guesses, and after a guess the real response beside what was guessed. */

import { button, el, prose } from "./dom.js";
import { explain } from "./explain.js";
import { requestOf } from "./slip-request.js";

/**
 * @param {object} slip
 * @param {import("./bench.js").Bench} bench
 * @param {{done: () => void, leave: () => void}} actions `done` is called after a response, `leave` to close the panel.
 * @returns {HTMLElement}
 */
export function slipPanel(slip, bench, { done, leave }) {
  const status = el("p", { class: "note", role: "status" });
  const outcome = el("div", { class: "slip-outcome" });
  const guesses = slip.guesses.map((guess, place) => {
    const made = el("button", { type: "button", class: "guess", "data-guess": place, onclick: () => choose(place) });
    made.append(...prose(guess));
    return made;
  });
  const say = (sentence) => (status.textContent = sentence);

  async function choose(place) {
    guesses.forEach((each, index) => {
      each.setAttribute("aria-disabled", "true"); // and not `disabled`: the focus would be lost
      each.setAttribute("aria-pressed", String(index === place));
    });
    if (panel.getAttribute("aria-busy") === "true") return;
    panel.setAttribute("aria-busy", "true");
    try {
      const request = await requestOf(slip, bench, say);
      if (!panel.isConnected) return;
      const result = await bench.run(request);
      if (result.failure) say("No response came. Is the server running?");
      else await show(place, result);
    } catch (error) {
      say(`The request was not sent: ${error.message}.`);
    } finally {
      panel.setAttribute("aria-busy", "false");
      for (const each of guesses) each.removeAttribute("aria-disabled");
    }
  }

  async function show(place, result) {
    say("");
    const said = el(
      "div",
      { class: "explained" },
      command(result),
      el("p", { class: "none" }, "Reading the audit trail …"),
    );
    outcome.replaceChildren(verdict(slip, place), response(slip, result, bench.state.data), said);
    outcome.dataset.status = String(result.status);
    outcome.dataset.error = result.json?.error ?? "";
    outcome.firstChild.focus({ preventScroll: true });
    outcome.scrollIntoView({ block: "nearest" });
    done();
    const event = result.status === 404 ? null : await explain(result.requestId, bench.state.data);
    said.replaceChildren(command(result), event ? explained(event) : nothingRecorded(result));
  }

  const panel = el(
    "div",
    { class: "slip-panel", "aria-busy": "false", onkeydown: (event) => event.key === "Escape" && leave() },
    el("h4", { tabindex: "-1" }, slip.title),
    el("p", {}, ...prose(slip.question)),
    el("div", { class: "guesses", role: "group", "aria-label": "Your guess" }, ...guesses),
    status,
    outcome,
    button("Close", leave, "quiet"),
  );
  return panel;
}

function verdict(slip, place) {
  const [chosen, right] = [slip.guesses[place], slip.guesses[slip.right]];
  const sentence =
    place === slip.right ? `As you guessed: ${right}.` : `You guessed: ${chosen}. What happens: ${right}.`;
  return el(
    "p",
    { class: "slip-verdict", tabindex: "-1", "data-right": String(place === slip.right) },
    ...prose(sentence),
  );
}

function members(rows) {
  const given = rows.filter(([, value]) => value);
  return el("dl", { class: "members" }, ...given.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function response(slip, result, data) {
  const { error, error_description: description, error_uri: page, hint } = result.json ?? {};
  const failed = result.checks?.find(([, passed]) => !passed)?.[0];
  return members([
    ["status", `${result.status} ${result.reasonPhrase}`],
    ["error", error],
    ["description", description],
    ["hint", hint],
    ["failed check", failed && el("span", { "data-failed": failed }, data.checks[failed]?.sentence ?? failed)],
    ["what to do", slip.remedy && el("span", {}, ...prose(slip.remedy))],
    ["page", page && el("a", { href: page }, `All causes of ${error}`)],
  ]);
}

function command(result) {
  return el("pre", {}, el("code", {}, `$ flask explain ${result.requestId}`));
}

/** @param {import("./explain.js").Event} event */
function explained(event) {
  const [code, ...because] = (event.reason ?? "").split(": ");
  return members([
    ["what", event.event],
    ["client", event.client_id],
    ["error", because.length ? code : ""],
    ["because", because.join(": ") || code],
  ]);
}

function nothingRecorded(result) {
  return el(
    "p",
    {},
    result.status === 404
      ? "A 404 is in the log only, not in the audit trail."
      : "The audit trail has no event with this request id.",
  );
}
