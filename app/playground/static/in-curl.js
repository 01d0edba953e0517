/** A request as a command of curl, quoted for bash and zsh. */

const SAFE = /^[\w@%+=:,./-]+$/;

/** A word for the shell: single quotes end at a single quote, which a backslash then escapes. */
export function quoted(text) {
  return SAFE.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// A header is Latin-1 in a browser, and whatever the terminal has in curl: other bytes than ASCII are written out.
function header(name, value) {
  if (!value) return quoted(`${name};`); // curl would leave out a header without a value
  const text = `${name}: ${value}`;
  if (/^[\x20-\x7e\t]*$/.test(text)) return quoted(text);
  const written = (each) => `\\x${each.codePointAt(0).toString(16).padStart(2, "0")}`;
  return `$'${[...text].map((each) => (/[\x20-\x26\x28-\x5b\x5d-\x7e]/.test(each) ? each : written(each))).join("")}'`;
}

function parameter([name, value]) {
  const option = /^[\w.~-]*$/.test(value) ? "-d" : "--data-urlencode";
  return `${option} ${quoted(`${encodeURIComponent(name)}=${value}`)}`;
}

export function inCurl(found) {
  const options = [];
  if (found.method === "HEAD") options.push("--head");
  else if (found.method !== (found.body ? "POST" : "GET")) options.push(`-X ${quoted(found.method)}`);
  if (found.basic) options.push(`-u ${quoted(found.basic.join(":"))}`);
  if (found.bearer) options.push(`-H ${quoted(`Authorization: Bearer ${found.bearer}`)}`);
  for (const [name, value] of found.headers) options.push(`-H ${header(name, value)}`);
  if (found.form) options.push(...found.form.map(parameter));
  else if (found.body) {
    if (found.json) options.push("-H 'Content-Type: application/json'");
    if (found.isUntyped) options.push("-H Content-Type:"); // otherwise curl says that it is a form
    options.push(`--data-raw ${quoted(found.body)}`);
  }
  const globs = /[[\]{}]/.test(found.url) ? " -g" : "";
  return [`curl -s${globs}`, ...options.map((option) => `  ${option}`), `  ${quoted(found.url)}`].join(" \\\n");
}
