/** One slip: the question, three guesses, and after a guess the real response beside what was guessed. */

import { button, el, prose } from "./dom.js";
import { members, showOperator } from "./operator.js";
import { requestOf } from "./slip-request.js";

const FAILURES = {
  unreachable: "No response came.",
  redirected: "A redirect came, and this page did not follow it.",
  cancelled: "You cancelled it.",
  unsendable: "Your browser does not send this.",
};

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
  const cancel = button("Cancel", () => bench.cancel(), "quiet");
  cancel.hidden = true;
  const say = (sentence) => (status.textContent = sentence);

  /** Wait for the response; after a while say so, and offer to cancel. */
  async function run(request) {
    say("");
    const timer = setTimeout(() => {
      say("Waiting for the response …");
      cancel.hidden = false;
    }, 500);
    try {
      return await bench.run(request);
    } finally {
      clearTimeout(timer);
      if (cancel === document.activeElement) panel.querySelector("h4").focus({ preventScroll: true });
      cancel.hidden = true;
    }
  }

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
      const result = await run(request);
      if (result.failure && !isExpected(slip, result)) say(FAILURES[result.failure]);
      else await show(place, result);
    } catch (error) {
      say(`The request was not sent: ${error.message.replace(/\.$/, "")}.`);
    } finally {
      panel.setAttribute("aria-busy", "false");
      for (const each of guesses) each.removeAttribute("aria-disabled");
    }
  }

  async function show(place, result) {
    say("");
    const said = el("div", { class: "explained" });
    outcome.replaceChildren(verdict(slip, place), response(slip, result, bench.state.data), said);
    outcome.dataset.status = String(result.status);
    outcome.dataset.error = result.json?.error ?? "";
    outcome.firstChild.focus({ preventScroll: true });
    outcome.scrollIntoView({ block: "nearest" });
    done();
    if (result.requestId) await showOperator(said, result, bench.state.data);
  }

  const panel = el(
    "div",
    { class: "slip-panel", "aria-busy": "false", onkeydown: (event) => event.key === "Escape" && leave() },
    el("h4", { tabindex: "-1" }, slip.title),
    el("p", {}, ...prose(slip.question)),
    el("div", { class: "guesses", role: "group", "aria-label": "Your guess" }, ...guesses),
    status,
    cancel,
    outcome,
    button("Close", leave, "quiet"),
  );
  return panel;
}

/** Whether the slip is about a missing response; nobody has to wait for the end of a slow one. */
function isExpected(slip, { failure }) {
  return Boolean(slip.acts_as) && (slip.status === 0 || failure === "cancelled");
}

function verdict(slip, place) {
  const isRight = slip.acts_as ? "Right is" : "What happens";
  const [chosen, right] = [slip.guesses[place], slip.guesses[slip.right]];
  const sentence =
    place === slip.right ? `As you guessed: ${right}.` : `You guessed: ${chosen}. ${isRight}: ${right}.`;
  return el(
    "p",
    { class: "slip-verdict", tabindex: "-1", "data-right": String(place === slip.right) },
    ...prose(sentence),
  );
}

function response(slip, result, data) {
  const { error, error_description: description, error_uri: page, hint } = result.json ?? {};
  const failed = result.checks?.find(([, passed]) => !passed)?.[0];
  return members([
    ["status", FAILURES[result.failure] ?? `${result.status} ${result.reasonPhrase}`],
    ["fault", slip.acts_as && !slip.check && `The server did what ${slip.acts_as} says, though all its checks passed.`],
    ...(slip.acts_as && !slip.check && !result.failure ? received(result) : []),
    ["error", error],
    ["description", description],
    ["hint", hint],
    ["failed check", failed && el("span", { "data-failed": failed }, data.checks[failed]?.sentence ?? failed)],
    ["what to do", slip.remedy && el("span", {}, ...prose(slip.remedy))],
    ["page", page && el("a", { href: page }, `All causes of ${error}`)],
  ]);
}

/** What came in place of a token response; of a token only its beginning. */
function received({ headers, body }) {
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1];
  const shown = body.replace(/([\w.-]{12})[\w.-]{48,}/g, "$1…");
  return [
    ["type", type && el("code", {}, type)],
    ["body", shown ? el("code", {}, shown) : "empty"],
  ];
}
