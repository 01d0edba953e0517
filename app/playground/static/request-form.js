/** The first column: the request as real form controls, every part of which can be edited. */

import { startBasicBuilder } from "./basic-builder.js";
import { startBodyForm } from "./body-form.js";
import { startHeadersForm } from "./headers-form.js";

/**
 * @param {HTMLElement} root `#send`; the controls of the request line are in the page already.
 * @param {(request: import("./sending.js").Request) => void} onChange
 * @returns {{load: (request: import("./sending.js").Request) => void, read: () => import("./sending.js").Request}}
 */
export function startRequestForm(root, onChange) {
  const method = root.querySelector("#send-method");
  const path = root.querySelector("#send-path");
  const changed = () => {
    basic.follow(read().headers);
    onChange(read());
  };
  const headers = startHeadersForm(root.querySelector("#send-headers"), changed);
  const body = startBodyForm(root.querySelector("#send-body"), () => onChange(read()));
  const basic = startBasicBuilder(root.querySelector("#send-basic"), (value) => {
    headers.set("Authorization", value);
    onChange(read());
  });
  method.addEventListener("change", changed);
  path.addEventListener("input", changed);

  /** @returns {import("./sending.js").Request} */
  function read() {
    return { method: method.value, path: path.value, headers: headers.read(), body: body.read() };
  }

  return {
    read,
    load: (request) => {
      if (![...method.options].some((option) => option.value === request.method))
        method.add(new Option(request.method));
      method.value = request.method;
      path.value = request.path;
      headers.load(request.headers);
      body.load(request.body);
      changed();
    },
  };
}
