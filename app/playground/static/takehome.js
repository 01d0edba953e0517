// The step "take it home": the request that is in the bench now, as text to copy.

import { make, withCode } from "./elements.js";
import { snippets } from "./snippets.js";

/** Fill `root` with the snippets of the request in the bench, and write them anew when it changes. */
export function startTakeHome(bench, data, root) {
  const tabs = make("div", { class: "takehome-tabs", role: "tablist", "aria-label": "Tool", keydown: move });
  const about = make("p", { class: "takehome-about" });
  const code = make("code", {});
  const block = make("pre", { class: "snippet", tabindex: "0" }, code);
  const said = make("span", { role: "status" });
  const copy = make("button", { type: "button", class: "copy", click: copied }, "Copy");
  const panel = make("div", { role: "tabpanel", id: "takehome-panel" }, about, block, make("p", {}, copy, " ", said));
  let chosen = "curl";
  root.append(tabs, panel);

  function write() {
    const all = snippets(bench.request(), data);
    if (!tabs.children.length) all.forEach((each) => tabs.append(tabOf(each)));
    const shown = all.find((each) => each.name === chosen);
    for (const tab of tabs.children) {
      const isChosen = tab.dataset.snippet === chosen;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `takehome-${chosen}`);
    about.replaceChildren(...withCode(shown.about));
    code.textContent = shown.text ?? "";
    block.hidden = copy.hidden = !shown.text;
    said.textContent = "";
  }

  function tabOf({ name, title }) {
    const attributes = { type: "button", role: "tab", id: `takehome-${name}`, "aria-controls": "takehome-panel" };
    const tab = make("button", { ...attributes, click: () => choose(name) }, title);
    tab.dataset.snippet = name;
    return tab;
  }

  function choose(name) {
    chosen = name;
    write();
  }

  function move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...tabs.children];
    const next = all[(all.findIndex((tab) => tab.dataset.snippet === chosen) + step + all.length) % all.length];
    choose(next.dataset.snippet);
    next.focus();
    event.preventDefault();
  }

  async function copied() {
    try {
      await navigator.clipboard.writeText(code.textContent);
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(code); // a browser may forbid the clipboard
      said.textContent = "Selected: press Ctrl+C.";
    }
  }

  bench.onChange(write);
  write();
}
