/** The request in the workbench, in every form in which it can be taken home. */

import { inCurl } from "./in-curl.js";
import { inFetch, inOpenidClient } from "./in-node.js";
import { inPostman } from "./in-postman.js";
import { inAuthlib, inRequests } from "./in-python.js";
import { read, tokenRequest } from "./reading.js";

const BUILT = "builds the request itself, and has no call for this one. Request a token to see it.";
const FILE = "Save it as `request.mjs`, and run `node request.mjs`.";
const IN_POSTMAN =
  "In Postman: Import, paste this text, and send the one request. The whole flow is in " +
  "`postman/OAuth2_Client_Credentials_Flow.postman_collection.json`.";

const OF_THIS_PAGE =
  "The server changes its keys for this page only, so there is nothing to copy. In a terminal the same is " +
  "`.venv/bin/flask keys rotate --now`, and `.venv/bin/flask keys withdraw KID`. " +
  "Request a token or call a route, and that request is here.";

/** `[{name, title, about, text}]`; `text` is null where a library has no call for the request. */
export function snippets(request, { issuer, endpoints }) {
  const found = read(request, issuer);
  const client = tokenRequest(found, endpoints);
  const all = [
    ["curl", "curl", "Paste it into a terminal.", inCurl(found)],
    ["requests", "Python, requests", "`pip install requests`", inRequests(found)],
    ["authlib", "Python, Authlib", "`pip install authlib requests`", inAuthlib(found, client)],
    ["fetch", "Node.js, fetch", FILE, inFetch(found)],
    ["openid-client", "Node.js, openid-client", FILE, client && inOpenidClient(client, issuer)],
    ["postman", "Postman", IN_POSTMAN, inPostman(found)],
  ];
  if (found.url.endsWith("/playground/keys"))
    return all.map(([name, title]) => ({ name, title, about: OF_THIS_PAGE, text: null }));
  return all.map(([name, title, about, text]) => ({
    name,
    title,
    about: text ? about : `${title.split(", ").pop()} ${BUILT}`,
    text,
  }));
}
