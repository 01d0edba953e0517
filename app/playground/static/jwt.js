/** A JWT, taken apart and verified with the public keys alone, as an API does it. */

import { parse } from "./sending.js";

/**
 * @typedef {object} Parts
 * @property {[string, string, string]} texts Header, claims and signature, as Base64url.
 * @property {Record<string, unknown> | undefined} header
 * @property {Record<string, unknown> | undefined} claims undefined if they are not JSON any more.
 *
 * @typedef {{passed: boolean | null, sentence: string}} Verdict `passed` is null if it could not be found out.
 */

/** What Web Crypto calls the two algorithms (RFC 7518, section 3.1). */
const ALGORITHMS = {
  RS256: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
};
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/**
 * @param {string} token
 * @returns {Parts | null} null if it does not have three parts, as an opaque token.
 */
export function takeApart(token) {
  const texts = token.split(".");
  if (texts.length !== 3) return null;
  const [header, claims] = texts.map(decodeJson);
  return { texts, header, claims };
}

/** @param {string} text Base64url */
function bytes(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

function decodeJson(text) {
  try {
    const found = parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes(text)));
    return found && typeof found === "object" ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Why this page cannot verify a signature; empty if it can. */
export function whyNoCrypto() {
  return globalThis.crypto?.subtle
    ? ""
    : `Browsers offer Web Crypto on https and on loopback only, and this page came from ${location.origin}. ` +
        "Open it at http://127.0.0.1 with the server's port to verify signatures here.";
}

/**
 * Verify the signature with the key that the token's header names.
 *
 * @param {string} token
 * @param {JsonWebKey[]} keys The keys of the JWKS.
 * @returns {Promise<Verdict>}
 */
export async function verify(token, keys) {
  const why = whyNoCrypto();
  if (why) return { passed: null, sentence: why };
  const parts = takeApart(token);
  if (!parts?.header) return { passed: false, sentence: "This is not a JWT: its header cannot be read." };
  const { kid, alg } = parts.header;
  const key = keys.find((each) => each.kid === kid);
  if (!key) return { passed: false, sentence: "No key in the JWKS has the kid that the header names." };
  if (key.alg !== alg || !ALGORITHMS[alg]) return { passed: false, sentence: `The key is not for the algorithm ${alg}.` };
  return (await isSigned(parts.texts, key))
    ? { passed: true, sentence: `The key ${shortened(kid)} of the JWKS verifies the signature (${alg}).` }
    : {
        passed: false,
        sentence: `The signature does not match: these are not the bytes that the key ${shortened(kid)} signed.`,
      };
}

async function isSigned([header, claims, signature], key) {
  const algorithm = ALGORITHMS[key.alg];
  try {
    const imported = await crypto.subtle.importKey("jwk", key, algorithm, false, ["verify"]);
    return await crypto.subtle.verify(
      algorithm,
      imported,
      bytes(signature),
      new TextEncoder().encode(`${header}.${claims}`),
    );
  } catch {
    return false; // the signature is not Base64url
  }
}

/** @param {string} kid */
export function shortened(kid) {
  return kid.length > 12 ? `${kid.slice(0, 8)}…` : kid;
}

/**
 * Change one character of the claims, as someone would who wants a longer life for a token.
 *
 * @param {string} token
 * @returns {{token: string, at: number}} The changed token, and where it was changed.
 */
export function changeClaims(token) {
  const [header, claims, signature] = token.split(".");
  const before = decodeJson(claims);
  for (let at = claims.length - 1; at >= 0; at -= 1) {
    for (const letter of ALPHABET) {
      const changed = claims.slice(0, at) + letter + claims.slice(at + 1);
      if (decodeJson(changed)?.exp > before.exp)
        return { token: `${header}.${changed}.${signature}`, at: header.length + 1 + at };
    }
  }
  return changeSignature(token);
}

/**
 * Change the first character of the signature.
 *
 * @param {string} token
 * @returns {{token: string, at: number}}
 */
export function changeSignature(token) {
  const at = token.lastIndexOf(".") + 1;
  const letter = token[at] === "A" ? "B" : "A";
  return { token: token.slice(0, at) + letter + token.slice(at + 1), at };
}
