// node-oidc-provider with its default routes and a client. Argument: a port.
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const port = Number(process.argv[2]);
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const client = {
  client_id: 'demo', client_secret: 'demo-s3cret', scope: 'read:logs',
  grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
};
const resource = { scope: 'read:logs', audience: 'urn:api', accessTokenTTL: 3600, accessTokenFormat: 'jwt' };

new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'k' }] },
  clients: [client],
  scopes: ['read:logs'],
  features: {
    clientCredentials: { enabled: true }, introspection: { enabled: true }, revocation: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true, defaultResource: () => 'urn:api', getResourceServerInfo: () => resource,
      useGrantedResource: () => true,
    },
  },
}).listen(port, '127.0.0.1');
