// The other requests of this folder use these tokens. They are valid for an hour: then send this request again.
const toBase64 = require("btoa");
const needed = [
    NEEDED,
];
for (const { variable, client, scope } of needed) {
    const credentials = pm.variables.replaceIn("{{" + client + "_id}}:{{" + client + "_secret}}");
    pm.sendRequest({
        url: pm.variables.replaceIn("{{base_url}}/oauth/token"),
        method: "POST",
        header: { Authorization: "Basic " + toBase64(credentials) },
        body: {
            mode: "urlencoded",
            urlencoded: [{ key: "grant_type", value: "client_credentials" }, { key: "scope", value: scope }],
        },
    }, (error, response) => {
        pm.collectionVariables.set(variable, response.json().access_token);
    });
}
