// The header and the claims of the token; the console shows them.
const fromBase64 = require("atob");
const decoded = (part) => JSON.parse(fromBase64(part.replace(/-/g, "+").replace(/_/g, "/")));
const token = pm.variables.replaceIn("{{faulty_token}}");
const [header, claims] = token ? token.split(".").slice(0, 2).map(decoded) : [{}, {}];
console.log("header", header);
console.log("claims", claims);
