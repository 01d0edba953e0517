/** The second column: request and response as text, in the order of the bytes on the wire. */

import { button, el } from "./dom.js";
import { RECORD } from "./recording.js";

/** Headers that scripts cannot set: the browser writes them itself (Fetch Standard, "forbidden request-header"). */
const FORBIDDEN =
  /^(accept-encoding|connection|content-length|cookie|date|expect|host|origin|referer|upgrade|via|sec-.*)$/i;

/**
 * @param {HTMLElement} root `#travels`
 * @returns {{showRequest: (request: import("./sending.js").Request) => void,
 *   showResponse: (result: import("./sending.js").Result) => void}}
 */
export function startWire(root) {
  const part = (id) => root.querySelector(`#wire-${id}`);
  const indent = button(
    "Indent the JSON",
    () => {
      isIndented = !isIndented;
      indent.setAttribute("aria-pressed", String(isIndented));
      if (last) showResponse(last);
    },
    "quiet",
  );
  let isIndented = false;
  let last = null;
  indent.setAttribute("aria-pressed", "false");

  function showRequest(request) {
    const length = new TextEncoder().encode(request.body).length;
    const own = [["Host", location.host], ...(length ? [["Content-Length", String(length)]] : [])];
    part("line").replaceChildren(el("strong", {}, `${request.method} ${request.path} HTTP/1.1`));
    part("headers").replaceChildren(
      ...own.map((pair) => line(pair, "browser")),
      ...request.headers.map((pair) => line(pair, FORBIDDEN.test(pair[0]) ? "dropped" : "")),
      line(RECORD, "browser"),
    );
    part("body").replaceChildren(request.body || el("span", { class: "none" }, "(no body)"));
  }

  function showResponse(result) {
    last = result;
    root.dataset.status = String(result.status);
    root.dataset.error = result.json?.error ?? "";
    if (result.failure) {
      const came = result.failure === "redirected" ? "A redirect, which a browser hides from a page." : "No response came.";
      part("response").replaceChildren(el("p", { class: "none" }, came));
      return;
    }
    const text = isIndented && result.json !== undefined ? JSON.stringify(result.json, null, 2) : result.body;
    part("response").replaceChildren(
      el(
        "pre",
        { class: "wire" },
        el("strong", {}, `HTTP/1.1 ${result.status} ${result.reasonPhrase}`),
        "\n",
        ...result.headers.map((pair) => line(pair, pair[0] === RECORD[0].toLowerCase() ? "browser checks" : "")),
      ),
      el(
        "pre",
        { class: "wire body", tabindex: "0", role: "region", "aria-label": "Body of the response" },
        ...(text ? broken(text) : [el("span", { class: "none" }, "(no body)")]),
      ),
      result.json === undefined ? el("p", { class: "note" }, result.body ? "The body is not JSON." : "") : indent,
    );
  }

  return { showRequest, showResponse };
}

/**
 * A body whose tokens and keys fill their lines: Base64url has hyphens, at which a browser would break them.
 *
 * @param {string} text
 * @returns {(HTMLElement | string)[]}
 */
function broken(text) {
  const parts = text.split(/([\w-]{40,}(?:\.[\w-]+)*)/);
  return parts.map((part, index) => (index % 2 ? el("span", { class: "long" }, part) : part));
}

/**
 * A header as a line of text.
 *
 * @param {[string, string]} pair
 * @param {string} kind Who writes it: the learner, the browser, or nobody.
 * @returns {HTMLElement}
 */
function line([name, value], kind) {
  const note = kind === "dropped" ? "  (a browser does not let a page send this header)" : "";
  return el(
    "span",
    { class: `header ${kind}`.trim() },
    el("span", { class: "name" }, `${titled(name)}:`),
    ` ${value}${note}\n`,
  );
}

/** The usual spelling of a header's name; `fetch` reports all in lower case, and HTTP does not care. */
function titled(name) {
  return name === name.toLowerCase()
    ? name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()).replace("Www-", "WWW-")
    : name;
}
