// The OAuth2 server that the tests log in at: `oidc-provider` with all that
// harvest speaks, on loopback, everything in memory. Beside it an API that
// answers only live tokens, and /test/… where the tests look in and interfere.
//
// One argument: settings as JSON. Prints one line of JSON: base, and the
// private keys of the clients that sign.
import { createServer } from 'node:http';
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, webcrypto } from 'node:crypto';

// What Debian 12's Node.js 18 lacks.
globalThis.crypto ??= webcrypto;
URL.parse ??= (url, of) => (URL.canParse(url, of) ? new URL(url, of) : null);
const { default: Provider, errors } = await import('oidc-provider');
const { createLocalJWKSet, jwtVerify } = await import('jose');

const settings = {
  access_token_s: 3600,
  code_s: 60,
  device_code_s: 600,
  rotate: true,
  refresh_delay_ms: 0, // how long the answer to a refresh takes: widens a race
  ...JSON.parse(process.argv[2] ?? '{}'),
};

const log = [];
const tokens = new Map(); // live access tokens, as they were saved
const http = createServer();
await new Promise((listening) => http.listen(0, '127.0.0.1', listening));
const base = `http://127.0.0.1:${http.address().port}`;

const key = (kid, modulusLength = 2048) => {
  // By way of text: Node.js 20 waits for itself for ever when the garbage collector
  // meets the generation of a key whose JWK is just being made.
  const { privateKey: pem } = generateKeyPairSync('rsa', {
    modulusLength,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const jwk = (key) => ({ ...key.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' });
  return { jwk: jwk(createPublicKey(pem)), secret: jwk(createPrivateKey(pem)), pem };
};
const signing = key('server');
const machine = key('machine-key');
const service = key('service-key');

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const person = {
  application_type: 'native',
  grant_types: ['authorization_code', 'refresh_token', DEVICE],
  response_types: ['code'],
  redirect_uris: ['http://127.0.0.1/callback'], // any port: RFC 8252 section 7.3
};
const machines = { grant_types: ['client_credentials'], response_types: [], redirect_uris: [] };

const provider = new Provider(base, {
  clients: [
    { client_id: 'machine-basic', client_secret: 'basic:s3cret/+%', token_endpoint_auth_method: 'client_secret_basic', ...machines },
    { client_id: 'machine-post', client_secret: 'post-s3cret', token_endpoint_auth_method: 'client_secret_post', ...machines },
    { client_id: 'machine-jwt', jwks: { keys: [machine.jwk] }, token_endpoint_auth_method: 'private_key_jwt', ...machines },
    { client_id: 'service', token_endpoint_auth_method: 'none', ...machines, grant_types: [JWT_BEARER] },
    { client_id: 'person', token_endpoint_auth_method: 'none', ...person },
    { client_id: 'person-secret', client_secret: 'person-s3cret', token_endpoint_auth_method: 'client_secret_basic', ...person },
    { client_id: 'person-post', client_secret: 'person-p0st', token_endpoint_auth_method: 'client_secret_post', ...person },
    { client_id: 'person-jwt', jwks: { keys: [machine.jwk] }, token_endpoint_auth_method: 'private_key_jwt', ...person },
    { client_id: 'short', token_endpoint_auth_method: 'none', ...person, grant_types: ['authorization_code'] },
  ],
  jwks: { keys: [signing.secret] },
  scopes: ['openid', 'offline_access', 'items', 'more'],
  pkce: { required: () => true },
  rotateRefreshToken: () => settings.rotate,
  issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: async () => false,
  cookies: { keys: [randomBytes(16).toString('hex')] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  ttl: {
    AccessToken: () => settings.access_token_s,
    ClientCredentials: () => settings.access_token_s,
    AuthorizationCode: () => settings.code_s,
    DeviceCode: () => settings.device_code_s,
  },
});

// RFC 7523 section 2.1; oidc-provider leaves this grant to its users.
provider.registerGrantType(JWT_BEARER, async (ctx) => {
  let claims;
  try {
    const keys = createLocalJWKSet({ keys: [service.jwk] });
    const audience = [base, `${base}/token`];
    const requiredClaims = ['iss', 'aud', 'exp', 'iat'];
    ({ payload: claims } = await jwtVerify(ctx.oidc.params.assertion, keys, { audience, requiredClaims, issuer: 'service@test' }));
  } catch (error) {
    throw new errors.InvalidGrant(`the assertion is not good: ${error.message}`);
  }
  log.push({ kind: 'assertion', claims });
  const token = new provider.ClientCredentials({ client: ctx.oidc.client, scope: claims.scope });
  ctx.oidc.entity('ClientCredentials', token);
  ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: 'Bearer' };
}, ['assertion', 'scope']);

for (const kind of ['access_token', 'client_credentials']) {
  provider.on(`${kind}.saved`, (token) => tokens.set(token.jti, token));
  provider.on(`${kind}.destroyed`, (token) => tokens.delete(token.jti));
}
provider.on('grant.success', (ctx) => note('granted', ctx));
provider.on('grant.error', (ctx, error) => note('refused', ctx, error));
provider.on('grant.revoked', (_ctx, id) => log.push({ kind: 'grant_revoked', id }));
provider.on('server_error', (_ctx, error) => log.push({ kind: 'server_error', message: String(error.stack) }));

function note(kind, ctx, error) {
  const { grant_type, scope } = ctx.oidc?.params ?? {};
  const basic = /^basic /i.test(ctx.get('authorization'));
  log.push({ kind, grant_type, scope, basic, client: ctx.oidc?.client?.clientId, error: error?.message, detail: error?.error_description });
}

const find = async (value) =>
  (await provider.AccessToken.find(value)) ?? (await provider.ClientCredentials.find(value));

// The API: an item for whoever has a live token.
async function item(request, id) {
  const [, value] = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '') ?? [];
  const token = value && (await find(value));
  const live = token && !token.isExpired;
  log.push({ kind: 'item', id, status: live ? 200 : 401, client: token?.clientId });
  if (!live) return [401, { error: 'invalid_token' }];
  return [200, { id, client: token.clientId, account: token.accountId ?? null, scope: token.scope ?? null }];
}

async function control(name, body) {
  switch (name) {
    case 'log':
      return log;
    case 'revoke': { // every live access token, as if somebody had pressed the button
      const all = [...tokens.values()];
      await Promise.all(all.map((token) => token.destroy()));
      return { revoked: all.length };
    }
    case 'revoke-grants': { // refresh tokens with them
      const all = [...tokens.values()];
      for (const { grantId } of all.filter((token) => token.grantId)) {
        for (const model of ['AccessToken', 'RefreshToken']) await provider[model].revokeByGrantId(grantId);
        await (await provider.Grant.find(grantId))?.destroy();
      }
      await Promise.all(all.map((token) => token.destroy()));
      return { revoked: all.length };
    }
    case 'refresh-token': { // one that a person has consented to, without the person
      const { client = 'person', scope = 'items' } = body;
      const of = { accountId: 'alice', clientId: client };
      const grant = new provider.Grant(of);
      grant.addOIDCScope(scope);
      const grantId = await grant.save();
      const token = new provider.RefreshToken({
        accountId: 'alice', client: await provider.Client.find(client), grantId, scope, gty: 'authorization_code',
      });
      return { refresh_token: await token.save() };
    }
    case 'settings':
      return Object.assign(settings, body);
    default:
      return undefined;
  }
}

const read = async (request) => {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
};

const handle = provider.callback();
http.on('request', async (request, response) => {
  const { pathname } = new URL(request.url, base);
  const [, first, second] = pathname.split('/');
  let answer;
  if (first === 'items') answer = await item(request, decodeURIComponent(second));
  if (first === 'test') answer = [200, await control(second, await read(request))];
  if (!answer) {
    log.push({ kind: 'request', method: request.method, path: pathname });
    if (pathname === '/token') {
      // The grant is done at once; only its answer dawdles.
      const end = response.end.bind(response);
      response.end = (...all) => setTimeout(() => end(...all), settings.refresh_delay_ms);
    }
    return handle(request, response);
  }
  const headers = { 'Content-Type': 'application/json' };
  if (answer[0] === 401) headers['WWW-Authenticate'] = 'Bearer error="invalid_token"';
  response.writeHead(answer[0], headers).end(JSON.stringify(answer[1]));
});

// Whoever started it has ended: so does it.
process.stdin.resume().on('end', () => process.exit());
console.log(JSON.stringify({ base, machine_key: machine.pem, service_key: service.pem }));
