/** What a request in the workbench means: who authenticates and how, and what its form contains. */

const FORM = "application/x-www-form-urlencoded";

function unBasic(text) {
  try {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const decoded = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const colon = decoded.indexOf(":");
    return colon < 0 ? null : [decoded.slice(0, colon), decoded.slice(colon + 1)];
  } catch {
    return null; // not Base64 of UTF-8: a snippet then shows the header as it is
  }
}

function formOf(body) {
  const pairs = body.split("&").map((each) => each.split(/=(.*)/s).slice(0, 2));
  const decode = (text) => decodeURIComponent((text ?? "").replaceAll("+", " "));
  try {
    const form = pairs.map(([name, value]) => [decode(name), decode(value)]);
    return form.every(([name]) => name) ? form : null;
  } catch {
    return null; // not UTF-8 once decoded
  }
}

function jsonOf(body) {
  try {
    const value = JSON.parse(body);
    // Only if nothing is lost: a number may have more digits than JavaScript keeps.
    return JSON.stringify(value).replace(/\s/g, "") === body.replace(/\s/g, "") ? { value } : null;
  } catch {
    return null;
  }
}

/**
 * Read a request: `{method, path, headers, body}` becomes `{method, url, headers, body, basic, bearer, form, json}`,
 * where `headers` are those that are not said by another member; `isUntyped` is true for a body without a media type.
 */
export function read(request, issuer) {
  const method = request.method.toUpperCase();
  const url = new URL(request.path, issuer).href;
  const body = ["GET", "HEAD"].includes(method) ? "" : (request.body ?? "");
  const found = { method, url, body, headers: [], basic: null, bearer: null, form: null, json: null, isUntyped: false };
  const seen = request.headers.filter(([name]) => name && name.toLowerCase() !== "x-keyturn-checks");
  const once = (wanted) => seen.filter(([name]) => name.toLowerCase() === wanted).length === 1;
  for (const [name, value] of seen) {
    const [scheme, rest] = value.split(/ (.*)/s);
    if (name.toLowerCase() === "authorization" && once("authorization")) {
      if (/^basic$/i.test(scheme)) found.basic = unBasic(rest ?? "");
      if (/^bearer$/i.test(scheme) && /^[\w.~+/-]+=*$/.test(rest ?? "")) found.bearer = rest;
      if (found.basic || found.bearer) continue;
    }
    if (name.toLowerCase() === "content-type" && once("content-type") && body) {
      if (value.toLowerCase() === FORM) found.form = formOf(body);
      if (value.toLowerCase() === "application/json") found.json = jsonOf(body);
      if (found.form || found.json) continue;
    }
    found.headers.push([name, value]);
  }
  found.isUntyped = Boolean(body) && !seen.some(([name]) => name.toLowerCase() === "content-type");
  return found;
}

/** Whether it requests a token: then a library for OAuth can do it. Gives the client, or null. */
export function tokenRequest(found, endpoints) {
  if (found.url !== endpoints.token || found.method !== "POST" || !found.form || found.headers.length) return null;
  const form = Object.fromEntries(found.form);
  const { grant_type: grant, scope = "", client_id: id, client_secret: secret, ...more } = form;
  const isPlain = Object.keys(form).length === found.form.length && grant === "client_credentials";
  if (!isPlain || Object.keys(more).length || found.bearer) return null;
  if (found.basic && id === undefined && secret === undefined) {
    return { id: found.basic[0], secret: found.basic[1], scope, method: "client_secret_basic" };
  }
  return !found.basic && id && secret ? { id, secret, scope, method: "client_secret_post" } : null;
}
