// The other requests of this folder use these tokens. They are valid for an hour: then send this request again.
const toBase64 = require("btoa");
const needed = [
    NEEDED,
];
needed.forEach(({ variable, client, scope }) => {
    const [id, secret] = [pm.variables.get(client + "_id"), pm.variables.get(client + "_secret")];
    const form = { grant_type: "client_credentials", scope };
    pm.sendRequest({
        url: pm.variables.get("base_url") + "/oauth/token",
        method: "POST",
        header: { Authorization: "Basic " + toBase64(id + ":" + secret) },
        body: { mode: "urlencoded", urlencoded: Object.entries(form).map(([key, value]) => ({ key, value })) },
    }, (error, response) => {
        pm.collectionVariables.set(variable, response.json().access_token);
    });
});
