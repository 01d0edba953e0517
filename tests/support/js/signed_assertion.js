
// The client signs an assertion about itself, for this server, for a minute, and for this one request.
const key = JSON.parse(pm.variables.replaceIn("{{signer_key}}"));
const client = pm.variables.replaceIn("{{signer_id}}");
const seconds = Math.floor(Date.now() / 1000);
const header = { typ: "client-authentication+jwt", alg: "RS256", kid: key.kid };
const claims = {
    iss: client,
    sub: client,
    aud: pm.variables.replaceIn("AUDIENCE"),
    jti: SHA256(Date.now() + " " + Math.random()).toString(), // another one each time
    iat: seconds,
    exp: seconds + 60,
};
console.log("header", header);
console.log("claims", claims);
const encoded = (bytes) => enc.Base64.stringify(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
const signed = [header, claims].map((each) => encoded(enc.Utf8.parse(JSON.stringify(each)))).join(".");
const length = number(key.n).toString(16).length;
const signature = power(BigInt("0x" + padded(signed, length)), number(key.d), number(key.n)).toString(16);
pm.collectionVariables.set("assertion", signed + "." + encoded(enc.Hex.parse(signature.padStart(length, "0"))));
