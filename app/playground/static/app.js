/** The playground: loads its data from the server, then starts the workbench and the steps. */

import { startBench } from "./bench.js";
import { startBreak } from "./break.js";
import { el } from "./dom.js";
import { recall } from "./memory.js";
import { startProgress } from "./progress.js";
import { startCall } from "./step-call.js";
import { startInspect } from "./step-inspect.js";
import { startKeys } from "./step-keys.js";
import { startToken } from "./step-token.js";
import { startSteps } from "./steps.js";
import { startTakeHome } from "./takehome.js";

startSteps();
const notice = document.querySelector("#notice");
try {
  const response = await fetch(new URL("data.json", import.meta.url), { cache: "no-store", credentials: "omit" });
  start(await response.json());
} catch (error) {
  notice.hidden = false;
  notice.replaceChildren(
    el("strong", {}, "The page could not load its data from the server. "),
    "Is it still running? Start it with ",
    el("code", {}, "make run"),
    ", then load this page again.",
  );
  throw error;
}

function start(data) {
  const issuer = new URL(data.issuer);
  if (issuer.origin !== location.origin) {
    notice.hidden = false;
    notice.replaceChildren(
      `This page came from ${location.origin}, but the tokens of this server name ${data.issuer} as their issuer. `,
      el("a", { href: `${data.issuer}/` }, "Open the page there"),
      ", so that your requests match.",
    );
  }
  const bench = startBench(data);
  const content = (step) => document.querySelector(`#step-${step} .step-content`);
  const typed = recall("request", null);
  startToken(bench, data, content("token"));
  startInspect(bench, data, content("inspect"));
  startCall(bench, data, content("call"));
  startBreak(bench, data, content("break"));
  startKeys(bench, data, content("keys"));
  startTakeHome(bench, data, content("takehome"));
  startProgress(document.querySelector("#progress"), bench);
  if (typed) bench.load(typed);
  document.documentElement.dataset.ready = "true";
}
