// Get the token that this request is about.
const toBase64 = require("btoa");
pm.sendRequest({
    url: pm.variables.replaceIn("ADDRESS"),
    method: "POST",
    header: { Authorization: "Basic " + toBase64(pm.variables.replaceIn("{{fault_id}}SUFFIX:{{fault_secret}}")) },
    body: { mode: "urlencoded", urlencoded: [{ key: "grant_type", value: "client_credentials" }] },
}, (error, response) => {
    pm.collectionVariables.set("faulty_token", (response && response.json().access_token) || "");
});
