/** Values that survive a reload: they are in this tab's session storage until the tab is closed. */

const PREFIX = "keyturn.";

/**
 * @param {string} name
 * @param {unknown} otherwise The value if nothing was stored.
 */
export function recall(name, otherwise) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise; // a browser may forbid storage; the page works without it
  }
}

/**
 * @param {string} name
 * @param {unknown} value
 */
export function remember(name, value) {
  try {
    sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // as above
  }
}
