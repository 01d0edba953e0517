// Lets openid-client get a token by private_key_jwt: `private_key_jwt.mjs ISSUER CLIENT_ID PEM_FILE KID`.
// It reads the metadata, and prints what it got: the members of the token response, and the introspection of it.
import { readFile } from "node:fs/promises";
import * as openid from "openid-client";

const [, , issuer, clientId, file, kid] = process.argv;
const pem = (await readFile(file, "utf8")).replace(/-----[^-]+-----|\s/g, "");
const algorithm = { name: "ECDSA", namedCurve: "P-256" };
const key = await crypto.subtle.importKey("pkcs8", Buffer.from(pem, "base64"), algorithm, false, ["sign"]);
const options = { algorithm: "oauth2", execute: [openid.allowInsecureRequests] };
const config = await openid.discovery(new URL(issuer), clientId, undefined, openid.PrivateKeyJwt({ key, kid }), options);
const token = await openid.clientCredentialsGrant(config, { scope: "read:logs" });
const introspected = await openid.tokenIntrospection(config, token.access_token);
await openid.tokenRevocation(config, token.access_token);
console.log(JSON.stringify({ token, introspected, after: await openid.tokenIntrospection(config, token.access_token) }));
