// node-oidc-provider with its default routes and two clients, one for each way of sending a secret. Argument: a port.
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const port = Number(process.argv[2]);
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const client = (id, method) => ({
  client_id: id, client_secret: `${id}-s3cret`, token_endpoint_auth_method: method, scope: 'read:logs',
  grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
});
const resource = { scope: 'read:logs', audience: 'urn:api', accessTokenTTL: 3600, accessTokenFormat: 'jwt' };

new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'k' }] },
  clients: [client('basic', 'client_secret_basic'), client('form', 'client_secret_post')],
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
