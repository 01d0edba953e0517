/** Elements of the page, made without HTML in strings: what a server sends is text, and stays text. */

/**
 * Make an element.
 *
 * @param {string} name
 * @param {Record<string, string | number | boolean | null | EventListener>} attributes A name such as `onclick` is
 *   an event; `true` sets an attribute without a value; `false` and `null` set none.
 *   So what is `"true"` or `"false"` in the page is given as text.
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean" && /^(aria|data)-/.test(key)) made.setAttribute(key, String(value));
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null) made.setAttribute(key, String(value));
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/**
 * A sentence; what is in backticks becomes `<code>`.
 *
 * @param {string} sentence
 * @returns {(Node | string)[]}
 */
export function prose(sentence) {
  return sentence.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

/**
 * A label above a form control.
 *
 * @param {string} text
 * @param {HTMLElement} control
 * @returns {HTMLElement}
 */
export function labelled(text, control) {
  return el("label", { class: "field" }, el("span", { class: "label" }, text), control);
}

/**
 * @param {string} text
 * @param {() => void} onclick
 * @param {string} look `primary`, `quiet`, or nothing
 * @returns {HTMLElement}
 */
export function button(text, onclick, look = "") {
  return el("button", { type: "button", class: look || null, onclick }, text);
}

/**
 * A select with its options.
 *
 * @param {[string, string][]} options Values, each with its text.
 * @param {string} chosen
 * @param {(value: string) => void} onchange
 * @returns {HTMLSelectElement}
 */
export function select(options, chosen, onchange) {
  const made = el("select", { onchange: () => onchange(made.value) });
  made.append(...options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
  return made;
}
