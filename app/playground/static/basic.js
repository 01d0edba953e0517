/** HTTP Basic for a client (RFC 6749, section 2.3.1): id and secret, form-encoded, joined by a colon, as Base64. */

/**
 * Form-encode one value, as a form in a browser does (RFC 6749, appendix B).
 *
 * @param {string} text
 * @returns {string}
 */
export function formEncode(text) {
  return new URLSearchParams([["", text]]).toString().slice(1);
}

/**
 * @param {string} text
 * @returns {string}
 * @throws {URIError} If the percent-encoding is broken.
 */
export function formDecode(text) {
  return decodeURIComponent(text.replaceAll("+", " "));
}

/**
 * @param {string} id
 * @param {string} secret
 * @returns {string} What is encoded as Base64: id, colon, secret.
 */
export function joined(id, secret) {
  return `${formEncode(id)}:${formEncode(secret)}`;
}

/**
 * @param {string} id
 * @param {string} secret
 * @returns {string} The value of the `Authorization` header.
 */
export function basicHeader(id, secret) {
  return `Basic ${btoa(joined(id, secret))}`; // form-encoded text is ASCII, as btoa requires
}

/**
 * @typedef {object} Credentials
 * @property {string} id
 * @property {string} secret
 * @property {string} pair The text in the Base64: id, colon, secret.
 */

/**
 * Decode a header, as the server does.
 *
 * @param {string} header
 * @returns {Credentials | {fault: string}} A fault is a sentence that says which step fails.
 */
export function decodeBasic(header) {
  const [, encoded] = header.match(/^basic +(.*)$/i) ?? [];
  if (encoded === undefined) return { fault: "The scheme is not Basic." };
  let pair;
  try {
    const bytes = Uint8Array.from(atob(encoded.trim()), (letter) => letter.charCodeAt(0));
    pair = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return { fault: "The text after the word Basic is not UTF-8 in Base64." };
  }
  const colon = pair.indexOf(":");
  if (colon < 0) return { fault: `It decodes to “${pair}”, which has no colon.` };
  try {
    return { id: formDecode(pair.slice(0, colon)), secret: formDecode(pair.slice(colon + 1)), pair };
  } catch {
    return { fault: `It decodes to “${pair}”, whose percent-encoding is broken.` };
  }
}
