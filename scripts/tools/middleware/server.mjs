// A protected service without a proxy: Express verifies the token with jose, and asks an OPA server whether the request
// may pass. Its one argument: {"port", "opa", "issuer", "audience", "jwk"}; or {"port", "open": true}, to serve everyone and
// ask nobody: what the rest is measured over.
import http from 'node:http';
import express from 'express';
import { importJWK, jwtVerify } from 'jose';

const settings = JSON.parse(process.argv[2]);
const key = settings.open === true ? undefined : await importJWK(settings.jwk, 'ES256');
const agent = new http.Agent({ keepAlive: true });
const served = {};

const app = express();
app.disable('x-powered-by');
app.get('/served', (_, response) => response.json(served));
app.use(count);
if (settings.open !== true) app.use(authenticate, authorize);
app.get('/api/v1/users', (_, response) => response.json(['ada', 'grace']));
app.listen(settings.port, '127.0.0.1');

function count(_, response, next) {
  response.on('finish', () => {
    const name = `${Math.floor(response.statusCode / 100)}xx`;
    served[name] = (served[name] ?? 0) + 1;
  });
  next();
}

async function authenticate(request, response, next) {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ');
  if (scheme !== 'Bearer' || !token) return response.status(401).json({ error: 'missing_bearer_token' });
  try {
    const { issuer, audience } = settings;
    const { payload } = await jwtVerify(token, key, { algorithms: ['ES256'], issuer, audience });
    request.claims = payload;
  } catch {
    return response.status(401).json({ error: 'invalid_token' });
  }
  next();
}

async function authorize(request, response, next) {
  const { sub, ctx } = request.claims;
  const input = { sub, ctx, method: request.method, path: request.path, timestamp: Date.now() };
  try {
    const { result } = await ask({ input });
    if (result?.allow === true) return next();
    response.status(403).json({ error: 'policy_denied', detail: result?.reason });
  } catch {
    response.status(503).json({ error: 'policy_unavailable' });
  }
}

function ask(question) {
  const body = JSON.stringify(question);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const call = http.request(settings.opa, { method: 'POST', agent, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part) => (text += part));
      answer.on('error', reject);
      answer.on('end', () => {
        try {
          resolve(JSON.parse(text));
        } catch (error) {
          reject(error);
        }
      });
    });
    call.on('error', reject);
    call.end(body);
  });
}
