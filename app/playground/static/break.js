/** Step 4: break it. A button for each slip, by where things go wrong; which were tried survives a reload. */

import { el, prose } from "./dom.js";
import { recall, remember } from "./memory.js";
import { slipPanel } from "./slip-panel.js";

/**
 * @param {import("./bench.js").Bench} bench
 * @param {object} data
 * @param {HTMLElement} root
 */
export function startBreak(bench, data, root) {
  const { groups, slips, elsewhere } = data.slips;
  const tried = new Set(recall("slips", []));
  const count = el("p", { class: "note", id: "slips-tried" });
  const buttons = new Map(slips.map((slip) => [slip, slipButton(slip)]));
  let opened = null;

  function slipButton(slip) {
    const made = el(
      "button",
      { type: "button", class: "slip", "data-slip": slip.name, "aria-expanded": "false", onclick: () => toggle(slip) },
      el("span", { class: "mark", "aria-hidden": "true" }),
      slip.title,
    );
    made.append(el("span", { class: "unseen" }));
    return made;
  }

  function tick() {
    for (const [slip, made] of buttons) {
      const isTried = tried.has(slip.name);
      made.dataset.tried = String(isTried);
      made.querySelector(".mark").textContent = isTried ? "✓" : "";
      made.querySelector(".unseen").textContent = isTried ? ", tried" : "";
    }
    const number = slips.filter((slip) => tried.has(slip.name)).length;
    count.textContent = number ? `${number} of ${slips.length} tried.` : `${slips.length} cases. Begin with any.`;
  }

  function close() {
    opened?.panel.remove();
    opened?.made.setAttribute("aria-expanded", "false");
    opened = null;
  }

  function toggle(slip) {
    const made = buttons.get(slip);
    const wasOpen = opened?.made === made;
    close();
    if (wasOpen) return;
    const done = () => {
      tried.add(slip.name);
      remember("slips", [...tried]);
      tick();
    };
    const leave = () => {
      close();
      made.focus();
    };
    const panel = slipPanel(slip, bench, { done, leave });
    made.setAttribute("aria-expanded", "true");
    made.closest("li").append(panel);
    opened = { made, panel };
    panel.querySelector("h4").focus();
  }

  root.append(count);
  for (const { name, title, about } of groups) {
    const items = slips.filter((slip) => slip.group === name).map((slip) => el("li", {}, buttons.get(slip)));
    if (!items.length) continue;
    const intro = about ? [el("p", { class: "prose" }, ...prose(about))] : [];
    root.append(el("h3", {}, title), ...intro, el("ul", { class: "slips", "data-group": name }, ...items));
  }
  tick();
  if (elsewhere.length) root.append(cannotBeSent(elsewhere, data));
}

/** What no request from a page brings about, each with the reason and, if there is one, a command that does. */
function cannotBeSent(elsewhere, data) {
  const fill = (text) => text.replaceAll("{issuer}", data.issuer).replaceAll("{authority}", new URL(data.issuer).host);
  const items = elsewhere.flatMap(({ title, why, command, prints }) => [
    el("dt", {}, title),
    el(
      "dd",
      {},
      el("p", {}, ...prose(why)),
      command ? el("pre", {}, el("code", {}, `$ ${fill(command)}${prints ? `\n${prints}` : ""}`)) : null,
    ),
  ]);
  return el(
    "details",
    { class: "elsewhere" },
    el("summary", {}, "What this page cannot send, and why"),
    el("dl", {}, ...items),
  );
}
