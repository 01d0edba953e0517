// The step "break it": guess what a slip brings about, send it for real, and see why the server refuses it.

import { facts, make, withCode } from "./elements.js";
import { explained } from "./explained.js";
import { requestOf } from "./slip_request.js";

const MEMORY = "keyturn.slips";

function remembered() {
  try {
    return new Set(JSON.parse(sessionStorage.getItem(MEMORY) ?? "[]"));
  } catch {
    return new Set(); // a browser may forbid storage
  }
}

function remember(tried) {
  try {
    sessionStorage.setItem(MEMORY, JSON.stringify([...tried]));
  } catch {
    // then the ticks last until the page is closed
  }
}

/** Fill `root` with the slips of `data.slips`. */
export function startBreak(bench, data, root) {
  const { groups, slips, elsewhere } = data.slips;
  const tried = remembered();
  const known = slips.filter((slip) => tried.has(slip.name)).length;
  const count = make("p", { class: "break-count", "aria-live": "polite" });
  const buttons = new Map();
  let opened = null;

  const tick = (slip) => {
    buttons.get(slip.name).dataset.tried = tried.has(slip.name);
    const number = slips.filter((each) => tried.has(each.name)).length;
    count.textContent = `${number} of ${slips.length} tried.`;
  };

  const close = () => {
    if (!opened) return;
    opened.panel.remove();
    opened.button.setAttribute("aria-expanded", "false");
    opened = null;
  };

  const open = (slip) => {
    const button = buttons.get(slip.name);
    const wasOpen = opened?.button === button;
    close();
    if (wasOpen) return;
    const leave = () => {
      close();
      button.focus();
    };
    const done = () => {
      tried.add(slip.name);
      remember(tried);
      tick(slip);
    };
    const panel = panelOf(slip, { bench, data, leave, done });
    button.setAttribute("aria-expanded", "true");
    button.closest("li").after(panel);
    opened = { panel, button };
    panel.querySelector("h4").focus();
  };

  root.append(count);
  for (const group of groups) {
    const list = make("ul", { class: "slips" });
    for (const slip of slips.filter((each) => each.group === group.name)) {
      const button = make("button", { type: "button", class: "slip", "aria-expanded": "false" }, slip.title);
      button.dataset.slip = slip.name;
      button.append(make("span", { class: "slip-tried" }, " tried"));
      button.addEventListener("click", () => open(slip));
      buttons.set(slip.name, button);
      list.append(make("li", {}, button));
    }
    if (list.children.length) root.append(make("section", { class: "break-group" }, make("h3", {}, group.title), list));
  }
  slips.forEach(tick);
  if (known === 0 && slips.length) count.textContent += " Choose one, guess, and see what the server says.";
  if (elsewhere.length) root.append(whatIsElsewhere(elsewhere, data));
}

/** The panel of one slip: the question, the guesses, and after a guess the response. */
function panelOf(slip, { bench, data, leave, done }) {
  const id = `slip-${slip.name}`;
  const state = make("p", { class: "slip-state", role: "status" });
  const outcome = make("div", { class: "slip-outcome" });
  const guesses = make("div", { class: "guesses", role: "group", "aria-labelledby": `${id}-question` });
  slip.guesses.forEach((guess, place) => {
    const button = make("button", { type: "button", class: "guess", click: () => choose(place) }, ...withCode(guess));
    button.dataset.guess = place;
    guesses.append(button);
  });

  async function choose(place) {
    for (const button of guesses.children) button.disabled = true;
    guesses.children[place].dataset.chosen = "true";
    const say = (text) => (state.textContent = text);
    try {
      bench.load(await requestOf(slip, data, say));
      say("The request is sent.");
      const result = await bench.send();
      outcome.replaceChildren(verdict(slip, place, result), responseOf(result, slip, data));
      outcome.dataset.status = result.status;
      say("");
      outcome.firstChild.focus();
      done();
      await showExplained(outcome, result, data);
    } catch (error) {
      say(`The request could not be sent: ${error.message}. Is the server running?`);
    }
    for (const button of guesses.children) button.disabled = false;
  }

  const panel = make(
    "li",
    { class: "slip-panel", id, keydown: (event) => event.key === "Escape" && leave() },
    make("h4", { tabindex: "-1", id: `${id}-title` }, slip.title),
    make("p", { id: `${id}-question` }, ...withCode(slip.question)),
    guesses,
    state,
    outcome,
    make("button", { type: "button", class: "quiet", click: leave }, "Close"),
  );
  return panel;
}

function verdict(slip, place, result) {
  const chosen = slip.guesses[place];
  const right = slip.guesses[slip.right];
  const text = place === slip.right ? `You guessed it: ${chosen}.` : `You guessed: ${chosen}. What happens: ${right}.`;
  const element = make("p", { class: "verdict", tabindex: "-1" }, ...withCode(text));
  element.dataset.right = place === slip.right;
  element.dataset.asDeclared = result.status === slip.status;
  return element;
}

function bodyOf(result) {
  try {
    return JSON.parse(result.body);
  } catch {
    return {};
  }
}

function responseOf(result, slip, data) {
  const body = bodyOf(result);
  const failed = (result.checks ?? []).find(([, passed]) => !passed)?.[0];
  const check = failed && (data.checks[failed]?.title ?? failed);
  const page = body.error_uri && make("a", { href: body.error_uri, target: "_blank", rel: "noopener" }, body.error);
  return facts([
    ["Status", make("span", { class: "slip-status" }, String(result.status))],
    ["Error", body.error && make("code", { class: "slip-error" }, body.error)],
    ["It says", body.error_description],
    ["Hint", body.hint && make("span", { class: "slip-hint" }, body.hint)],
    ["Check that failed", check && make("span", { "data-failed": failed }, check)],
    ["What to do", slip.remedy && make("span", {}, ...withCode(slip.remedy))],
    ["Page about it", page],
  ]);
}

async function showExplained(outcome, result, data) {
  const said = make("div", { class: "slip-explained", "aria-busy": "true" });
  const command = `flask explain ${result.requestId}`;
  said.append(make("p", {}, "What ", make("code", {}, command), " says:"), make("p", {}, "…"));
  outcome.append(said);
  const lines = await explained(result.requestId, data);
  const nothing = "The trail has no event with this request id. A 404 is only in the log, with its path.";
  const text = lines.map(([name, value]) => name.padEnd(10) + value).join("\n");
  said.lastChild.replaceWith(lines.length ? make("pre", { tabindex: "0" }, text) : make("p", {}, nothing));
  said.removeAttribute("aria-busy");
}

/** What no request from a page brings about, each with the reason and, if there is one, the command. */
function whatIsElsewhere(elsewhere, data) {
  const fill = (text) =>
    text.replaceAll("{issuer}", data.issuer).replaceAll("{authority}", new URL(data.issuer).host);
  const list = make("dl", { class: "elsewhere" });
  for (const each of elsewhere) {
    const means = make("dd", {}, make("p", {}, ...withCode(each.why)));
    const text = each.prints ? `$ ${fill(each.command)}\n${each.prints} …` : `$ ${fill(each.command)}`;
    if (each.command) means.append(make("pre", { tabindex: "0" }, text));
    list.append(make("dt", {}, each.title), means);
  }
  return make("details", {}, make("summary", {}, "What this page cannot bring about, and why"), list);
}
