/** One line at the lower edge of the window, while the workbench is further down: what came of the last request. */

/**
 * @param {HTMLElement} root `#bar`; the live region for screen readers is in the workbench.
 * @param {Record<string, {title: string}>} known The checks by name.
 * @returns {{show: (result: import("./sending.js").Result) => void}}
 */
export function startBar(root, known) {
  const link = root.querySelector("a");
  link.addEventListener("click", (event) => {
    event.preventDefault(); // the address names the step
    const bench = document.querySelector("#bench");
    bench.scrollIntoView();
    bench.querySelector("h2").focus({ preventScroll: true });
  });
  return {
    show: (result) => {
      root.hidden = false;
      const failed = result.checks?.find(([, passed]) => !passed)?.[0];
      root.dataset.passed = String(result.status > 0 && result.status < 400 && !failed);
      const outcome = result.failure ? (result.failure === "redirected" ? "a redirect" : "no response") : `${result.status} ${result.reasonPhrase}`;
      const reason = failed ? ` · failed: ${known[failed]?.title ?? failed}` : "";
      link.textContent = `${result.request.method} ${shortened(result.request.path)} → ${outcome}${reason}`;
    },
  };
}

/** A path may have a token in its query, which would cover the page. */
function shortened(path) {
  return path.length > 48 ? `${path.slice(0, 47)}…` : path;
}
