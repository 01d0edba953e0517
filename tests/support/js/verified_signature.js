
// What an API does with these keys: it finds the one that the token names, and verifies the signature with it.
const fromBase64 = require("atob");
const token = pm.variables.replaceIn("{{admin_token}}");
const key = body.keys.find((each) => each.kid === JSON.parse(fromBase64(base64(token.split(".")[0]))).kid);

pm.test("One of the keys is that of the token", () => pm.expect(key).to.be.an("object"));
pm.test("No key has a private member", () => {
    body.keys.forEach((each) => pm.expect(each).to.not.have.any.keys("d", "p", "q", "dp", "dq", "qi", "oth", "k"));
});
pm.test("Every kid is there once", () => {
    pm.expect(new Set(body.keys.map((each) => each.kid)).size).to.eql(body.keys.length);
});
pm.test("The kid is the thumbprint of the key (RFC 7638)", () => {
    const { crv, e, kty, n, x, y } = key;
    const members = kty === "RSA" ? { e, kty, n } : { crv, kty, x, y };
    pm.expect(base64(key.kid) + "=").to.eql(SHA256(JSON.stringify(members)).toString(enc.Base64));
});
if (key && key.kty === "RSA") {
    pm.test("The key has at least 2048 bits", () => pm.expect(number(key.n).toString(2).length).to.be.at.least(2048));
    pm.test("The key verifies the signature of the token", () => {
        const [signed, signature] = [token.slice(0, token.lastIndexOf(".")), token.split(".")[2]];
        const opened = power(number(signature), number(key.e), number(key.n)).toString(16);
        pm.expect(opened).to.eql(padded(signed, number(key.n).toString(16).length));
    });
}
