/** The body of the request: a form's parameters one by one, or any text. */

import { button, el } from "./dom.js";
import { formDecode, formEncode } from "./basic.js";

/**
 * @param {HTMLElement} root
 * @param {() => void} changed
 * @returns {{load: (body: string) => void, read: () => string}}
 */
export function startBodyForm(root, changed) {
  const text = el("textarea", {
    name: "body",
    "aria-label": "Body as text",
    rows: "3",
    spellcheck: "false",
    oninput: changed,
  });
  const pairs = el("div", { class: "pairs" });
  const add = button(
    "Add a parameter",
    () => {
      addPair("", "").querySelector("input").focus();
      changed();
    },
    "quiet",
  );
  const other = button("", () => show(!text.hidden), "quiet");
  root.append(pairs, text, el("div", { class: "row" }, add, other));

  function addPair(name, value) {
    const input = (label, content) =>
      el("input", {
        "aria-label": label,
        value: content,
        spellcheck: "false",
        autocomplete: "off",
        autocapitalize: "off",
        oninput: changed,
      });
    const remove = button(
      "Remove",
      () => {
        row.remove();
        add.focus();
        changed();
      },
      "remove",
    );
    remove.setAttribute("aria-label", `Remove the parameter ${name}`);
    const row = el("div", { class: "pair" }, input("Parameter name", name), input("Parameter value", value), remove);
    pairs.append(row);
    return row;
  }

  /** The body: from the parameters while they are shown, otherwise the text. */
  function read() {
    if (pairs.hidden) return text.value;
    const inputs = [...pairs.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value));
    return inputs
      .filter(([name, value]) => name || value)
      .map((pair) => pair.map(formEncode).join("="))
      .join("&");
  }

  /** @param {boolean} asForm Show the parameters, if the text is a form. */
  function show(asForm) {
    const body = read();
    const found = asForm ? parameters(body) : null;
    if (found) {
      pairs.replaceChildren();
      for (const [name, value] of found) addPair(name, value);
    }
    text.value = body;
    text.hidden = Boolean(found);
    pairs.hidden = add.hidden = !found;
    other.textContent = found ? "Edit as text" : "Edit as a form";
  }

  return {
    load: (body) => {
      text.value = body;
      pairs.hidden = true; // so that the text counts
      show(true);
    },
    read,
  };
}

/**
 * The parameters of a form.
 *
 * @param {string} body
 * @returns {[string, string][] | null} null if encoding them again would not give the same bytes.
 */
export function parameters(body) {
  if (!body) return [];
  if (/%0[AD]/i.test(body)) return null; // an input has one line, and would drop the line break
  try {
    const found = body.split("&").map((pair) => {
      const [name, ...value] = pair.split("=");
      return [formDecode(name), formDecode(value.join("="))];
    });
    return found.map((pair) => pair.map(formEncode).join("=")).join("&") === body ? found : null;
  } catch {
    return null;
  }
}
