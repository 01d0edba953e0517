/** Step 1: request a token. Each choice changes the request in the workbench at once. */

import { button, el, labelled, select } from "./dom.js";
import { recall, remember } from "./memory.js";
import { findClient, tokenRequest } from "./requests.js";

/** The choices at first: those of the guide's own request. */
const DEFAULT = { client: "demo-admin", scope: "read:logs", inForm: false };

/**
 * @param {import("./bench.js").Bench} bench
 * @param {object} data
 * @param {HTMLElement} root
 */
export function startToken(bench, data, root) {
  const clients = data.clients.filter((client) => client.scope);
  if (!clients.length)
    return root.append(el("p", {}, "No demo client can be used here: keyturn.toml declares none of their scopes."));
  const choices = { ...DEFAULT, ...recall("choices", {}) };
  const client = () => findClient(data, choices.client) ?? clients[0];
  const about = el("p", { class: "note" });
  const scopes = el("div", { class: "scopes" });
  const outcome = el("p", { class: "outcome", role: "status" });
  const names = clients.map((each) => [
    each.client_id,
    `${each.client_id} (${each.token_format === "opaque" ? "opaque token" : "JWT"})`,
  ]);

  root.append(
    el(
      "div",
      { class: "controls" },
      el(
        "div",
        {},
        labelled(
          "Who requests it",
          select(names, choices.client, (value) => choose({ client: value, scope: "" })),
        ),
        about,
      ),
      el(
        "fieldset",
        {},
        el("legend", { class: "label" }, "Where the credentials are"),
        radio("In the Authorization header (Basic)", false),
        radio("In the form", true),
      ),
      el(
        "fieldset",
        {},
        el("legend", { class: "label" }, "Scope"),
        scopes,
        el("p", { class: "note" }, "What the token allows. If none is ticked, the client gets its default."),
      ),
    ),
    el(
      "p",
      { class: "row" },
      button("Request the token", () => bench.run(tokenRequest(bench, client(), choices)), "primary"),
    ),
    outcome,
    el(
      "div",
      { class: "row" },
      el("span", { class: "note" }, "Where does a client send it? The server publishes its addresses and its public keys:"),
      published("metadata", "Read the metadata"),
      published("jwks", "Read the public keys"),
    ),
  );

  function published(name, text) {
    return button(text, () => bench.run({ method: "GET", path: bench.path(data.endpoints[name]) }), "quiet");
  }

  function radio(text, inForm) {
    const input = el("input", {
      type: "radio",
      name: "mechanism",
      checked: choices.inForm === inForm,
      onchange: () => choose({ inForm }),
    });
    return el("label", { class: "choice" }, input, text);
  }

  /** @param {Partial<typeof choices>} change */
  function choose(change) {
    Object.assign(choices, change);
    remember("choices", choices);
    if ("client" in change) describe();
    bench.load(tokenRequest(bench, client(), choices));
  }

  function describe() {
    about.textContent = client().about ?? "";
    const asked = choices.scope.split(" ");
    scopes.replaceChildren(
      ...client()
        .scope.split(" ")
        .map((scope) =>
          el(
            "label",
            { class: "choice" },
            el("input", {
              type: "checkbox",
              value: scope,
              checked: asked.includes(scope),
              onchange: collect,
            }),
            el("code", {}, scope),
            el("span", { class: "note" }, data.scopes[scope]?.description ?? ""),
          ),
        ),
    );
  }

  function collect() {
    choose({ scope: [...scopes.querySelectorAll("input:checked")].map((input) => input.value).join(" ") });
  }

  bench.onResult((result) => {
    if (result.request.path !== bench.path(data.endpoints.token) || !result.json?.access_token) return;
    const { scope, expires_in: seconds } = result.json;
    const life = seconds === undefined ? ", and the response does not say for how long." : `, valid for ${seconds} seconds.`;
    outcome.replaceChildren("You have a token for ", el("code", {}, scope), life);
  });
  describe();
  bench.load(tokenRequest(bench, client(), choices));
}
