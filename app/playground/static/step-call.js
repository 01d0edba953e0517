/** Step 3: call a route with the token, and check one token in two ways before and after it is revoked. */

import { button, el, labelled, select } from "./dom.js";
import { takeApart } from "./jwt.js";
import { apiCall } from "./requests.js";
import { startTwoWays } from "./two-ways.js";

/**
 * @param {import("./bench.js").Bench} bench
 * @param {object} data
 * @param {HTMLElement} root
 */
export function startCall(bench, data, root) {
  if (data.calls.length) root.append(calling(bench, data));
  else
    root.append(
      el("p", {}, "The sample API is switched off (KEYTURN_SAMPLE_API=off), so there is no route to call here."),
    );
  startTwoWays(bench, data, root);
}

function calling(bench, data) {
  const options = data.calls.map((call, index) => [String(index), `${call.method} ${call.path} · ${call.scope}`]);
  const route = select(options, "0", () => load(token()));
  const call = () => data.calls[Number(route.value)];
  const token = () => bench.state.tokens.token ?? "";
  const load = (text) => bench.load(apiCall(bench, call(), text));
  const send = (text) => bench.run(apiCall(bench, call(), text));
  const outcome = el("p", { class: "outcome", role: "status" });
  const yours = el("p", { class: "note" });
  const describe = () => yours.replaceChildren(...aboutToken(token(), data.calls));
  describe();

  bench.onResult((result) => {
    describe();
    const isCall = result.request.path.split("?")[0] === apiCall(bench, call(), "").path;
    outcome.replaceChildren(...(isCall ? meaning(result) : []));
  });
  return el(
    "div",
    {},
    el("div", { class: "controls" }, el("div", {}, labelled("Route, and the scope that it requires", route), yours)),
    el(
      "p",
      { class: "row" },
      button("Call it with the token", () => send(token()), "primary"),
      button("Call it without a token", () => send("")),
    ),
    outcome,
  );
}

/** What helps the learner to choose a route for the token. */
function aboutToken(token, calls) {
  if (!token) return ["You have no token yet: ", el("a", { href: "#step-token" }, "request one"), "."];
  const scope = takeApart(token)?.claims?.scope;
  if (!scope) return ["Your token is opaque: only the server can tell its scope."];
  const isHere = calls.some((call) => scope.split(" ").includes(call.scope));
  const advice = isHere
    ? "Call a route that requires it, then one that requires another."
    : "No route here requires it.";
  return ["Your token has the scope ", el("code", {}, scope), `. ${advice}`];
}

/** What the status of an API's response means for the client. */
function meaning(result) {
  const needed = result.headers.find(([name]) => name === "www-authenticate")?.[1].match(/scope="([^"]*)"/)?.[1];
  switch (result.status) {
    case 401:
      return ["401: the request has no valid token. Send one; if yours has expired, request a new one."];
    case 403:
      return [
        "403: the token is valid, but does not allow this request. ",
        ...(needed ? ["The route requires the scope ", el("code", {}, needed), ". "] : []),
        "A new token with the same scope changes nothing.",
      ];
    default:
      return result.status && result.status < 300
        ? [`${result.status}: the token was valid, and its scope was enough.`]
        : [];
  }
}
