/** One line that says how the request is doing, beside the button that sends it or cancels it. */

import { decodeBasic } from "./basic.js";
import { button, el } from "./dom.js";

/**
 * @param {HTMLElement} root `#status`, a live region
 * @param {{send: () => void, cancel: () => void}} actions
 * @returns {{waiting: (request: import("./sending.js").Request) => void,
 *   ended: (result: import("./sending.js").Result) => void}}
 */
export function startStatus(root, { send, cancel }) {
  const bench = document.querySelector("#bench");
  const go = document.querySelector("#send-button");
  let isWaiting = false;
  let timer = 0;
  go.addEventListener("click", () => (isWaiting ? cancel() : send()));

  /** @param {boolean} flag */
  function setWaiting(flag) {
    clearTimeout(timer);
    isWaiting = flag;
    bench.setAttribute("aria-busy", String(flag));
    go.textContent = flag ? "Cancel" : "Send";
    go.classList.toggle("primary", !flag);
  }

  return {
    waiting: (request) => {
      setWaiting(true);
      // A response within a quarter of a second needs no word about the waiting.
      timer = setTimeout(() => {
        const hint = "You can cancel the request; nothing that you typed is lost.";
        root.replaceChildren(
          el("p", {}, `Waiting for ${request.method} ${request.path} …`),
          el("p", { class: "note" }, hint),
        );
        timer = setTimeout(() => root.append(el("p", { class: "note" }, "This takes longer than usual.")), 5_000);
      }, 250);
    },
    ended: (result) => {
      setWaiting(false);
      root.replaceChildren(...sentences(result));
      if (result.retryAfter) timer = countDown(root, result.retryAfter, send);
    },
  };
}

/** @param {import("./sending.js").Result} result */
function sentences(result) {
  const say = (strong, text) => el("p", {}, el("strong", {}, strong), ` ${text}`);
  switch (result.failure) {
    case "cancelled":
      return [say("Cancelled.", "The server may still have received the request.")];
    case "unsendable":
      return [say("Your browser does not send this:", `${result.fault}.`)];
    case "redirected":
      return [say("A redirect.", "The page does not follow it, as it may lead anywhere. A browser hides the rest.")];
    case "unreachable":
      if (isFaultOf(result.request)) return [say("No response.", "The client id requests a fault of the server.")];
      return [
        say("No response.", "Is the server still running?"),
        el("p", {}, "Start it in a terminal: ", el("code", {}, "make run"), ". What you typed stays here."),
      ];
  }
  const id = result.requestId ? [el("p", { class: "note" }, "Request id ", el("code", {}, result.requestId))] : [];
  const word = result.status < 400 ? "Accepted." : result.status < 500 ? "Refused." : "The server failed.";
  return [say(`${result.status} ${result.reasonPhrase}.`, word), ...id];
}

/** Whether the client id is one of those that say what goes wrong at the server. */
function isFaultOf({ headers, body }) {
  const header = headers.find(([name]) => name.toLowerCase() === "authorization")?.[1] ?? "";
  const id = decodeBasic(header)?.id ?? new URLSearchParams(body).get("client_id") ?? "";
  return id.startsWith("fault-");
}

/**
 * Count the seconds of `Retry-After`, then offer to send again.
 *
 * @returns {number} The timer.
 */
function countDown(root, seconds, send) {
  const left = el("p", { "aria-live": "off" });
  root.append(left);
  const end = Date.now() + seconds * 1000;
  const timer = setInterval(tick, 1000);
  function tick() {
    const remaining = Math.ceil((end - Date.now()) / 1000);
    if (remaining > 0)
      left.textContent = `Retry-After: ${seconds}. Wait for ${remaining} more seconds.`;
    else {
      clearInterval(timer);
      left.replaceChildren("The time in Retry-After is over. ", button("Send it again", send, "quiet"));
    }
  }
  tick();
  return timer;
}
