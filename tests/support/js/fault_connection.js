// The client gets no whole response: a script sees the error, and the request itself is the second attempt.
// newman counts such an error as a failure of its run, so this is sent only if the variable connection_faults is set.
const toBase64 = require("btoa");
if (!pm.variables.replaceIn("{{connection_faults}}")) {
    console.log("Not sent: set the variable connection_faults to 1.");
    pm.execution.skipRequest();
} else {
    pm.sendRequest({
        url: pm.variables.replaceIn("ADDRESS"),
        method: "POST",
        header: { Authorization: "Basic " + toBase64(pm.variables.replaceIn("{{fault_id}}SUFFIX:{{fault_secret}}")) },
        body: { mode: "urlencoded", urlencoded: [{ key: "grant_type", value: "client_credentials" }] },
    }, (error) => {
        console.log("What the client sees:", error && error.code);
        pm.collectionVariables.set("connection_error", (error && error.code) || "none");
    });
}
