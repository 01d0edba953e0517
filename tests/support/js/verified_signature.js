
// What an API does with these keys: it finds the one that the token names, and verifies the signature with it.
const fromBase64 = require("atob");
const { SHA256, enc } = require("crypto-js");
const token = pm.variables.replaceIn("{{admin_token}}");
const base64 = (text) => text.replace(/-/g, "+").replace(/_/g, "/");
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
    // RSA, in short: the signature to the power of e, modulo n, is the hash of what was signed, after a fixed beginning.
    const number = (text) => BigInt("0x" + enc.Base64.parse(base64(text)).toString());
    const power = (base, exponent, modulus) => {
        const [zero, one, two] = [0, 1, 2].map(BigInt);
        let result = one;
        for (; exponent > zero; exponent /= two, base = (base * base) % modulus) {
            result = exponent % two === one ? (result * base) % modulus : result;
        }
        return result;
    };
    pm.test("The key has at least 2048 bits", () => pm.expect(number(key.n).toString(2).length).to.be.at.least(2048));
    pm.test("The key verifies the signature of the token", () => {
        const [signed, signature] = [token.slice(0, token.lastIndexOf(".")), token.split(".")[2]];
        const opened = power(number(signature), number(key.e), number(key.n)).toString(16);
        const start = "1".padEnd(number(key.n).toString(16).length - 107, "f") + "00";
        pm.expect(opened).to.eql(start + "3031300d060960864801650304020105000420" + SHA256(signed).toString());
    });
}
