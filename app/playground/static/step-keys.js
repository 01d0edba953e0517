/** Step 5: the life of a signing key. Rotate, see the old token pass, withdraw its key, and see it fail. */

import { button, el, prose } from "./dom.js";
import { readKeys } from "./jwks.js";
import { shortened, takeApart } from "./jwt.js";
import { apiCall, routeFor } from "./requests.js";

/** When to read the JWKS again, in milliseconds: each worker of the server reads its keys every five seconds. */
const LATER = [1_500, 3_500, 5_500];
const JSON_HEADERS = [["Content-Type", "application/json"]];

/**
 * @param {import("./bench.js").Bench} bench
 * @param {object} data
 * @param {HTMLElement} root
 */
export function startKeys(bench, data, root) {
  const list = el("ul", { class: "keys" });
  const say = el("p", { class: "outcome", role: "status", tabindex: "-1" });
  const path = new URL("keys", import.meta.url).pathname;
  let states = {};
  let shown = "";

  root.append(
    data.keys_can_change
      ? el("p", { class: "row" }, button("Rotate at once", rotate, "primary"), tokenButton())
      : cannot(data, tokenButton()),
    say,
    el("h3", {}, "The public keys in the JWKS, now"),
    list,
    el(
      "p",
      { class: "note" },
      "Each worker of the server reads its keys every five seconds, so the list may be five seconds old. ",
      "One of them is the standby: it signs nothing until the key that signs is rotated or withdrawn.",
    ),
    el("p", { class: "row" }, button("Read the JWKS in the workbench", readJwks, "quiet")),
  );

  function tokenButton() {
    const call = () => {
      const token = bench.state.tokens.token ?? "";
      bench.run(apiCall(bench, routeFor(data, token), token));
    };
    return data.calls.length ? button("Call a route with your token", call) : "";
  }

  /** @param {object} change */
  async function send(change) {
    const result = await bench.run({ method: "POST", path, headers: JSON_HEADERS, body: JSON.stringify(change) });
    const keys = result.json?.keys;
    if (Array.isArray(keys)) states = Object.fromEntries(keys.map((key) => [key.kid, key.state]));
    await show();
    for (const wait of LATER) setTimeout(show, wait);
    say.focus(); // the button that was pressed may be gone
    return result.status === 200;
  }

  async function rotate() {
    if (await send({ action: "rotate" }))
      say.textContent =
        "The standby key signs. The old one stays in the JWKS, so your token is still valid: call a route with it.";
  }

  async function withdraw(kid) {
    if (await send({ action: "withdraw", kid }))
      say.textContent = `${shortened(kid)} is withdrawn, and every token that it signed is refused: call a route with yours.`;
  }

  async function readJwks() {
    await bench.run({ method: "GET", path: bench.path(data.endpoints.jwks) });
    await show();
  }

  async function show() {
    const mine = takeApart(bench.state.tokens.token ?? "")?.header?.kid;
    const keys = await readKeys(bench);
    const found = JSON.stringify([mine, states, keys]);
    if (found === shown) return; // so that the focus stays where it is
    shown = found;
    list.replaceChildren(...keys.map((key) => item(key, key.kid === mine)));
    if (mine && !keys.some((key) => key.kid === mine))
      list.append(
        el(
          "li",
          {},
          el("span", {}, el("code", {}, shortened(mine)), " signed your token, and is not in the JWKS any more."),
        ),
      );
  }

  function item(key, isMine) {
    const state = states[key.kid] ? `, ${states[key.kid]}` : "";
    const remove = button("Withdraw", () => withdraw(key.kid));
    remove.setAttribute("aria-label", `Withdraw the key ${shortened(key.kid)}`);
    return el(
      "li",
      { "data-kid": key.kid },
      el(
        "span",
        {},
        el("code", {}, shortened(key.kid)),
        ` ${key.alg}${state}`,
        isMine ? el("strong", {}, " · signed your token") : null,
      ),
      data.keys_can_change ? remove : null,
    );
  }

  bench.onResult(() => {
    if (!root.closest("section").hidden) show();
  });
  addEventListener("hashchange", () => {
    if (!root.closest("section").hidden) show();
  });
  show();
}

/** Why the page may not change keys, and the commands that may. */
function cannot(data, call) {
  return el(
    "div",
    {},
    el("p", {}, ...prose(`This page may not change the keys. ${data.keys_reason}`)),
    el("p", {}, "In a terminal, in the folder of the server:"),
    el(
      "pre",
      {},
      el(
        "code",
        {},
        "$ .venv/bin/flask keys list\n$ .venv/bin/flask keys rotate --now\n$ .venv/bin/flask keys withdraw KID",
      ),
    ),
    el("p", { class: "row" }, call),
  );
}
