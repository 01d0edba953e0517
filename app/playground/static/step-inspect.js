/** Step 2: take the token apart, verify its signature in the browser, and change one character. */

import { startClaims } from "./claims-table.js";
import { button, el, labelled } from "./dom.js";
import { durationText } from "./duration.js";
import { readKeys } from "./jwks.js";
import { changeClaims, changeSignature, takeApart, verify } from "./jwt.js";
import { recall, remember } from "./memory.js";
import { apiCall, routeFor } from "./requests.js";

/**
 * @param {import("./bench.js").Bench} bench
 * @param {object} data
 * @param {HTMLElement} root
 */
export function startInspect(bench, data, root) {
  const text = el("textarea", { rows: "7", spellcheck: "false", class: "wire", oninput: edited });
  const coloured = el("p", { class: "token", role: "group", "aria-label": "The token in its three parts" });
  const change = el("p", { class: "note", role: "status" });
  const verdict = el("p", { class: "outcome", role: "status" });
  const table = el("div", {});
  const claims = startClaims(table, data);
  const taken = el("div", { class: "full" }, table);
  const none = el("p", {}, "There is no token yet. ", el("a", { href: "#step-token" }, "Request one first"), ".");
  const opaque = el(
    "p",
    {},
    "This token is opaque: a random name for a row in the server's database. There is nothing to take apart. ",
    "To check it, an API must introspect it: ",
    el("a", { href: "#step-call" }, "step 3"),
    ".",
  );
  let at = -1;

  const changes = [
    button("Change a character of the claims", () => alter(changeClaims)),
    button("Change a character of the signature", () => alter(changeSignature)),
  ];
  const broken = el("p", {}, "This is not a JWT any more: a JWT has three parts with two dots between them.");
  const tools = el(
    "div",
    {},
    coloured,
    verdict,
    el(
      "p",
      { class: "row" },
      ...changes,
      data.calls.length ? button("Send this token to an API", send, "primary") : null,
      button("Undo", () => restore(), "quiet"),
    ),
    change,
    el("details", {}, el("summary", {}, "Edit the token by hand"), labelled("The token", text)),
  );
  root.append(none, tools, opaque, broken, taken);

  function send() {
    const token = text.value.trim();
    bench.run(apiCall(bench, routeFor(data, token), token));
  }

  function edited() {
    at = -1;
    change.textContent = "";
    show();
  }

  function alter(how) {
    const token = text.value.trim();
    if (!takeApart(token)?.claims) return;
    const changed = how(token);
    [text.value, at] = [changed.token, changed.at];
    change.textContent = described(token, changed);
    bench.keep("tampered_token", changed.token);
    show();
  }

  function restore() {
    text.value = bench.state.tokens.token ?? "";
    edited();
  }

  async function show() {
    const token = text.value.trim();
    remember("inspected", token);
    const parts = takeApart(token);
    none.hidden = Boolean(token);
    tools.hidden = !token;
    opaque.hidden = !token.startsWith("kta_");
    broken.hidden = !token || Boolean(parts) || !opaque.hidden;
    for (const each of changes) each.hidden = !parts;
    taken.hidden = coloured.hidden = verdict.hidden = !parts;
    if (!parts) return;
    colour(coloured, parts.texts, at);
    claims.show(parts);
    const found = await verify(token, await readKeys(bench));
    if (token !== text.value.trim()) return; // it was edited meanwhile
    verdict.dataset.passed = String(found.passed);
    const word = {
      true: "The signature is valid. ",
      false: "The signature is not valid. ",
      null: "The signature was not verified. ",
    };
    verdict.replaceChildren(el("strong", {}, word[found.passed]), found.sentence);
  }

  bench.onResult((result) => {
    if (result.json?.access_token) restore();
  });
  text.value = recall("inspected", bench.state.tokens.token ?? "");
  show();
}

/**
 * Show the three parts, each in its colour, and the character that was changed.
 *
 * @param {HTMLElement} root
 * @param {string[]} texts
 * @param {number} at Where a character was changed; -1 for nowhere.
 */
function colour(root, texts, at) {
  let start = 0;
  const parts = texts.map((text, index) => {
    const place = at - start;
    start += text.length + 1;
    const inside =
      place >= 0 && place < text.length
        ? [text.slice(0, place), el("mark", {}, text[place]), text.slice(place + 1)]
        : [text];
    return el("span", { class: `part-${["header", "claims", "signature"][index]}` }, ...inside);
  });
  root.replaceChildren(parts[0], ".", parts[1], ".", parts[2]);
}

/**
 * What was changed, and what it means.
 *
 * @param {string} before
 * @param {{token: string, at: number}} changed
 */
function described(before, { token, at }) {
  const [old, now] = [before, token].map((text) => takeApart(text)?.claims?.exp);
  const gain =
    now > old ? ` With the signature of the server it would be valid for ${durationText(now - old)} longer.` : "";
  return `Character ${at + 1} was “${before[at]}” and is “${token[at]}” now.${gain}`;
}
