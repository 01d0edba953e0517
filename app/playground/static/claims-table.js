/** Header and claims of a JWT as a table: what each says, where it is defined, and who checks it. */

import { el, prose } from "./dom.js";
import { durationText } from "./duration.js";

/**
 * @param {HTMLElement} root
 * @param {object} data
 * @returns {{show: (parts: import("./jwt.js").Parts) => void}}
 */
export function startClaims(root, data) {
  const expiry = el("p", { class: "countdown" });
  const tables = el("div", {});
  let exp = 0;
  root.append(expiry, tables);

  setInterval(tick, 1000);
  function tick() {
    const left = exp - Math.floor(Date.now() / 1000);
    expiry.hidden = !exp;
    expiry.textContent = left > 0 ? `Expires in ${durationText(left)}` : `Expired ${durationText(-left)} ago`;
    expiry.dataset.passed = String(left > 0);
  }

  return {
    show: ({ header, claims }) => {
      exp = typeof claims?.exp === "number" ? claims.exp : 0;
      tick();
      tables.replaceChildren(
        part("Header", "header", header, "how the token is signed, and with which key"),
        part("Claims", "claims", claims, "what the authorization server vouches for"),
        el(
          "p",
          {},
          el("strong", { class: "part-signature" }, "Signature"),
          ": made over the two parts before it with the server's private key.",
        ),
      );
    },
  };

  /** One part of the token. */
  function part(title, kind, members, about) {
    const heading = el("p", {}, el("strong", { class: `part-${kind}` }, title), `: ${about}.`);
    if (!members) return el("div", {}, heading, el("p", { class: "note" }, "This part is no longer JSON."));
    return el(
      "div",
      {},
      heading,
      el(
        "dl",
        { class: "claims" },
        ...Object.entries(members).map(([name, value]) => row(name, value, data.claims[name])),
      ),
    );
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {{sentence: string, source: string, checked_by: string} | undefined} claim
 */
function row(name, value, claim) {
  const moment =
    ["exp", "iat", "nbf"].includes(name) && typeof value === "number"
      ? el("span", { class: "note" }, ` ${new Date(value * 1000).toLocaleString("en-GB", { timeZone: "UTC" })} UTC`)
      : null;
  return el(
    "div",
    {},
    el("dt", {}, el("code", {}, name)),
    el("dd", { class: "value" }, el("code", {}, JSON.stringify(value)), moment),
    el(
      "dd",
      {},
      ...prose(claim?.sentence ?? "A claim of this client's own."),
      " ",
      el("cite", {}, claim?.source ?? ""),
    ),
    el(
      "dd",
      { class: "who" },
      claim ? el("span", { class: "label" }, "Checked by ") : null,
      ...prose(claim?.checked_by ?? ""),
    ),
  );
}
