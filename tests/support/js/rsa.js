
// RSA, in short: a signature is a number to the power of d modulo n, and to the power of e it is that number again.
const { SHA256, enc } = require("crypto-js");
const base64 = (text) => text.replace(/-/g, "+").replace(/_/g, "/");
const number = (text) => BigInt("0x" + enc.Base64.parse(base64(text)).toString());
const power = (base, exponent, modulus) => {
    const [zero, one, two] = [0, 1, 2].map(BigInt);
    let result = one;
    for (; exponent > zero; exponent /= two, base = (base * base) % modulus) {
        result = exponent % two === one ? (result * base) % modulus : result;
    }
    return result;
};
// The number, for RS256: the SHA-256 of the text after a fixed beginning, which is as long as n (RFC 8017, 9.2).
const padded = (text, length) =>
    "1".padEnd(length - 107, "f") + "00" + "3031300d060960864801650304020105000420" + SHA256(text).toString();
