/** The Basic header, built before the learner's eyes from id and secret, and decoded back when the header is edited. */

import { basicHeader, decodeBasic, formEncode, joined } from "./basic.js";
import { el, labelled } from "./dom.js";

/**
 * @param {HTMLElement} root
 * @param {(header: string) => void} built Called with the value of the header after the id or secret was edited.
 * @returns {{follow: (headers: [string, string][]) => void}} `follow` shows what the headers hold.
 */
export function startBasicBuilder(root, built) {
  const input = () => el("input", { spellcheck: "false", autocomplete: "off", autocapitalize: "off", oninput: build });
  const [id, secret] = [input(), input()];
  const steps = el("ol", { class: "build" });
  const fault = el("p", { class: "note", role: "status" });
  root.append(
    el("h4", { class: "label" }, "How the Basic header is built"),
    el("div", { class: "two" }, labelled("Client id", id), labelled("Secret", secret)),
    steps,
    fault,
  );

  function build() {
    show(id.value, secret.value);
    built(basicHeader(id.value, secret.value));
  }

  /** @param {string} idText @param {string} secretText */
  function show(idText, secretText) {
    const step = (text, value) => el("li", {}, el("span", {}, text), el("code", {}, value));
    const differs = formEncode(idText) !== idText || formEncode(secretText) !== secretText;
    steps.replaceChildren(
      step(
        differs ? "Form-encode each, join with a colon" : "Form-encode each (nothing changes here), join with a colon",
        joined(idText, secretText),
      ),
      step("Encode as Base64, which hides nothing", btoa(joined(idText, secretText))),
      step("Write the scheme before it", basicHeader(idText, secretText)),
    );
    fault.textContent = "";
  }

  return {
    follow: (headers) => {
      const [, value] = headers.find(([name]) => name.toLowerCase() === "authorization") ?? [];
      root.hidden = !value || !/^basic\b/i.test(value);
      if (root.hidden) return;
      const found = decodeBasic(value);
      if ("fault" in found) {
        steps.replaceChildren();
        fault.textContent = found.fault;
        return;
      }
      [id.value, secret.value] = [found.id, found.secret];
      show(found.id, found.secret);
      if (basicHeader(found.id, found.secret) !== value)
        fault.textContent = `The edited header decodes to ${found.pair}`;
    },
  };
}
