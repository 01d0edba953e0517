// This client's tokens are valid for two seconds: get one, and wait for three.
const toBase64 = require("btoa");
pm.sendRequest({
    url: pm.variables.replaceIn("{{base_url}}/oauth/token"),
    method: "POST",
    header: { Authorization: "Basic " + toBase64(pm.variables.replaceIn("{{brief_id}}:{{brief_secret}}")) },
    body: { mode: "urlencoded", urlencoded: [{ key: "grant_type", value: "client_credentials" }] },
}, (error, response) => {
    pm.collectionVariables.set("brief_token", response.json().access_token);
    setTimeout(() => {}, 3000);
});
