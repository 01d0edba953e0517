/** One step at a time: the address says which, and a reload stays there. */

import { recall, remember } from "./memory.js";

/** Show the step that the address names, now and whenever it changes. */
export function startSteps() {
  const sections = [...document.querySelectorAll("main section[id^='step-']")];
  const links = [...document.querySelectorAll("nav a[href^='#step-']")];
  const find = (hash) => sections.find((section) => `#${section.id}` === hash);

  /** @param {HTMLElement} chosen */
  function show(chosen) {
    for (const section of sections) section.hidden = section !== chosen;
    for (const link of links) {
      if (link.hash === `#${chosen.id}`) link.setAttribute("aria-current", "step");
      else link.removeAttribute("aria-current");
    }
    document.title = `${chosen.querySelector("h2").lastChild.textContent.trim()} · Keyturn`;
    remember("step", `#${chosen.id}`);
  }

  addEventListener("hashchange", () => {
    const chosen = find(location.hash);
    if (!chosen) return;
    show(chosen);
    chosen.querySelector("h2").focus({ preventScroll: true });
    scrollTo(0, 0);
  });
  show(find(location.hash) ?? find(recall("step", "")) ?? sections[0]);
}
