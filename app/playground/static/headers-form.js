/** The headers of the request as a table of names and values that can be edited. */

import { button, el } from "./dom.js";

/**
 * @param {HTMLElement} root
 * @param {() => void} changed Called after each change by hand.
 * @returns {{load: (headers: [string, string][]) => void, read: () => [string, string][],
 *   set: (name: string, value: string) => void}}
 */
export function startHeadersForm(root, changed) {
  const rows = el("div", { class: "pairs" });
  root.append(
    rows,
    button(
      "Add a header",
      () => {
        add("", "").querySelector("input").focus();
        changed();
      },
      "quiet",
    ),
  );

  function add(name, value) {
    const input = (name, label, text) =>
      el("input", {
        name,
        "aria-label": label,
        value: text,
        spellcheck: "false",
        autocomplete: "off",
        autocapitalize: "off",
        oninput: changed,
      });
    const remove = button(
      "Remove",
      () => {
        const next = row.nextElementSibling ?? root.querySelector(":scope > button");
        row.remove();
        (next.querySelector?.("input") ?? next).focus();
        changed();
      },
      "remove",
    );
    remove.setAttribute("aria-label", `Remove the header ${name}`);
    const row = el(
      "div",
      { class: "pair" },
      input("header-name", "Header name", name),
      input("header-value", "Header value", value),
      remove,
    );
    rows.append(row);
    return row;
  }

  /** @returns {[HTMLInputElement, HTMLInputElement][]} */
  const inputs = () => [...rows.children].map((row) => [...row.querySelectorAll("input")]);

  return {
    load: (headers) => {
      rows.replaceChildren();
      for (const [name, value] of headers) add(name, value);
    },
    read: () =>
      inputs()
        .map(([name, value]) => [name.value, value.value])
        .filter(([name, value]) => name || value),
    set: (name, value) => {
      const found = inputs().find(([input]) => input.value.toLowerCase() === name.toLowerCase());
      if (found) found[1].value = value;
      else add(name, value);
    },
  };
}
