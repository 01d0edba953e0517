/** One token, checked in two ways: by its signature alone, and by introspection at the server. */

import { button, el } from "./dom.js";
import { readKeys } from "./jwks.js";
import { takeApart, verify } from "./jwt.js";
import { recall, remember } from "./memory.js";
import { findClient, tokenRequest, withBasic } from "./requests.js";

const WAYS = ["By signature, in this browser", "By introspection, at the server"];

/**
 * @param {import("./bench.js").Bench} bench
 * @param {object} data
 * @param {HTMLElement} root
 */
export function startTwoWays(bench, data, root) {
  const api = data.clients.find((client) => client.resource_server);
  const scope = api && Object.keys(data.scopes).find((name) => data.scopes[name].resource === api.resource_server);
  const able = data.clients.filter((client) => scope && client.scope.split(" ").includes(scope));
  const owners = ["jwt", "opaque"].map((kind) => able.find((each) => each.token_format === kind)).filter(Boolean);
  if (!owners.length) return;

  const rows = el("tbody", {});
  const say = el("p", { class: "outcome", role: "status" });
  let checked = recall("two-ways", []);
  const named = ({ client_id: id, token_format: format }) =>
    button(`Request ${format === "opaque" ? "an opaque token" : "a JWT"} as ${id}`, () => request(id));
  root.append(
    el("h3", {}, "Two ways to check a token"),
    el(
      "p",
      { class: "prose" },
      "An API can verify a JWT by itself, with the server's public key: fast, but it does not detect a revocation. ",
      "Or it can introspect a token of any kind: it sends the token to the server, which says whether it is active. ",
      `${api.client_id} is the API here. Check a token in both ways, revoke it, and check it again.`,
    ),
    el(
      "p",
      { class: "row" },
      ...owners.map(named),
      button("Check it in both ways", check, "primary"),
      button("Revoke it", revoke),
    ),
    say,
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Results of both checks" },
      el(
        "table",
        { class: "two-ways" },
        el("thead", {}, el("tr", {}, ...["When", ...WAYS].map((text) => el("th", { scope: "col" }, text)))),
        rows,
      ),
    ),
  );

  async function request(id) {
    const result = await bench.run(tokenRequest(bench, findClient(data, id), { scope }));
    if (result.json?.access_token) {
      remember("two-ways-owner", id);
      add([]);
      say.textContent = `${id} has a token for the API of ${api.client_id}. Now check it.`;
    }
  }

  async function check() {
    const token = bench.state.tokens.token;
    if (!token) return void (say.textContent = "Request a token first.");
    const local = takeApart(token)
      ? await locally(token)
      : { passed: null, sentence: "An opaque token has no signature: an API must introspect it." };
    const result = await bench.run(withBasic(bench, "introspection", api, [["token", token]]));
    if (!result.json) return;
    const active = result.json.active === true;
    const about = active
      ? "active: true, with the claims."
      : "active: false, and nothing else: the reason is in the audit trail.";
    add([
      ...checked,
      {
        when: new Date().toLocaleTimeString("en-GB"),
        local,
        remote: { passed: active, sentence: result.json.error ?? about },
      },
    ]);
    say.textContent = conclusion(local.passed, active);
  }

  async function locally(token) {
    const found = await verify(token, await readKeys(bench));
    const isOver = takeApart(token)?.claims?.exp * 1000 <= Date.now();
    return found.passed && isOver
      ? { passed: false, sentence: "The signature is valid, but the token has expired." }
      : found;
  }

  async function revoke() {
    const token = bench.state.tokens.token;
    if (!token) return void (say.textContent = "Request a token first.");
    const owner = findClient(
      data,
      takeApart(token)?.claims?.client_id ?? recall("two-ways-owner", owners[0].client_id),
    );
    const result = await bench.run(withBasic(bench, "revocation", owner, [["token", token]]));
    if (result.status !== 200) return;
    bench.keep("revoked_token", token);
    say.textContent = "The token is revoked. Check it again: only one of the two ways detects that.";
  }

  function add(list) {
    checked = list.slice(-6);
    remember("two-ways", checked);
    const cell = ({ passed, sentence }, way) =>
      el(
        "td",
        { "data-passed": String(passed), "data-label": way },
        el("strong", {}, passed === null ? "– not possible. " : passed ? "✓ valid. " : "✗ not valid. "),
        sentence,
      );
    rows.replaceChildren(
      ...checked.map(({ when, local, remote }) =>
        el("tr", {}, el("td", {}, when), cell(local, WAYS[0]), cell(remote, WAYS[1])),
      ),
    );
    if (!checked.length) rows.append(el("tr", {}, el("td", { colspan: "3", class: "none" }, "Not checked yet.")));
  }
  add(checked);
}

/** What the two results mean together. */
function conclusion(local, remote) {
  if (local && !remote) return "The signature is still valid. Only the server can tell that the token is revoked.";
  if (local && remote) return "Both ways accept the token. Revoke it, and check it again.";
  return remote
    ? "Only introspection can check this token. Revoke it, and check it again."
    : "The API refuses the token: the server says that it is not active.";
}
