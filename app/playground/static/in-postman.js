/** A request as a collection of Postman (format 2.1), which Insomnia and Bruno import as well. */

const listed = (pairs) => Object.entries(pairs).map(([key, value]) => ({ key, value, type: "string" }));

function auth(found) {
  if (found.basic) return { type: "basic", basic: listed({ username: found.basic[0], password: found.basic[1] }) };
  if (found.bearer) return { type: "bearer", bearer: listed({ token: found.bearer }) };
  return { type: "noauth" };
}

export function inPostman(found) {
  const header = found.headers.map(([key, value]) => ({ key, value }));
  if (found.json) header.push({ key: "Content-Type", value: "application/json" });
  const request = { method: found.method, auth: auth(found), header, url: found.url };
  if (found.form) {
    request.body = { mode: "urlencoded", urlencoded: found.form.map(([key, value]) => ({ key, value, type: "text" })) };
  } else if (found.body) request.body = { mode: "raw", raw: found.body };
  const name = `${found.method} ${new URL(found.url).pathname}`;
  const info = {
    name: "From the Keyturn playground",
    schema: "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
  };
  return JSON.stringify({ info, item: [{ name, request }] }, null, 2);
}
