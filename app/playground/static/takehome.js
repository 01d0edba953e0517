/** Step 6: take it home. The request that is in the workbench now, as text to copy. */

import { button, el, prose } from "./dom.js";
import { recall, remember } from "./memory.js";
import { snippets } from "./snippets.js";

/**
 * @param {import("./bench.js").Bench} bench
 * @param {object} data
 * @param {HTMLElement} root
 */
export function startTakeHome(bench, data, root) {
  const tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "Tool", onkeydown: move });
  const about = el("p", { class: "note" });
  const code = el("code");
  const block = el("pre", { class: "snippet", tabindex: "0", "aria-label": "What to copy" }, code);
  const said = el("span", { class: "note", role: "status" });
  const copy = button("Copy", copied, "primary");
  const panel = el("div", { role: "tabpanel", id: "snippet" }, about, block, el("p", { class: "row" }, copy, said));
  let chosen = recall("snippet", "curl");
  root.append(tabs, panel);

  function write() {
    const all = snippets(bench.request(), data);
    if (!tabs.children.length) tabs.append(...all.map(tab));
    const shown = all.find(({ name }) => name === chosen) ?? all[0];
    for (const each of tabs.children) {
      const isChosen = each.dataset.snippet === shown.name;
      each.setAttribute("aria-selected", String(isChosen));
      each.tabIndex = isChosen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `tab-${shown.name}`);
    panel.dataset.snippet = shown.name;
    about.replaceChildren(...prose(shown.about));
    code.textContent = shown.text ?? "";
    block.hidden = copy.hidden = !shown.text;
    said.textContent = "";
  }

  function tab({ name, title }) {
    return el(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${name}`,
        "data-snippet": name,
        "aria-controls": "snippet",
        onclick: () => choose(name),
      },
      title,
    );
  }

  function choose(name) {
    chosen = name;
    remember("snippet", name);
    write();
  }

  function move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...tabs.children];
    const next = all[(all.findIndex((each) => each.dataset.snippet === chosen) + step + all.length) % all.length];
    choose(next.dataset.snippet);
    next.focus();
  }

  async function copied() {
    try {
      await navigator.clipboard.writeText(code.textContent);
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code); // a browser may forbid the clipboard
      said.textContent = "Selected: press Ctrl+C, or ⌘C.";
    }
  }

  bench.onChange(write);
  write();
}
