// Passkeys and security keys as a real browser uses them, with Chromium's virtual authenticators.
// Started by scripts/test-browser, which says in the environment where Gatepost is.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { serve } from './site.mjs';

const { SITE_PORT, BACKEND, CHROMIUM = '/usr/bin/chromium' } = process.env;
const PASSWORD = 'walnut ferry 88 cobalt moss';

// A touch and no PIN: a second factor.
const SECURITY_KEY = {
  protocol: 'ctap2', transport: 'usb', hasResidentKey: false, hasUserVerification: false,
};
// What a laptop or a phone has built in.
const PLATFORM = {
  protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true,
  isUserVerified: true,
};

let site, foreign, browser;

before(async () => {
  site = await serve(Number(SITE_PORT), BACKEND);
  // The same host name, so the browser lets it use the credentials; another origin all the same.
  foreign = await serve(0, BACKEND);
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
});

after(async () => {
  await browser?.close();
  site?.close();
  foreign?.close();
});

/// A page at `url` with virtual authenticators that can be plugged in and out.
async function visit(url, context) {
  const page = await (context ?? (await browser.newContext())).newPage();
  await page.goto(url);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const send = (method, options) => devtools.send(`WebAuthn.${method}`, options);
  const inPage = (name) => (...values) =>
    page.evaluate(([name, values]) => window.gatepost[name](...values), [name, values]);
  return {
    page,
    call: inPage('call'),
    create: inPage('create'),
    get: inPage('get'),
    async plugIn(options) {
      const all = { automaticPresenceSimulation: true, ...options };
      return (await send('addVirtualAuthenticator', { options: all })).authenticatorId;
    },
    unplug: (authenticatorId) => send('removeVirtualAuthenticator', { authenticatorId }),
    copy: async (from) => (await send('getCredentials', { authenticatorId: from })).credentials,
    paste: (authenticatorId, credential) => send('addCredential', { authenticatorId, credential }),
    setVerified: (authenticatorId, isUserVerified) =>
      send('setUserVerified', { authenticatorId, isUserVerified }),
  };
}

async function expect(status, answer) {
  const { status: got, body } = await answer;
  assert.equal(got, status, JSON.stringify(body));
  return body;
}

/// A fresh user, logged in by password.
async function someone(visitor, name) {
  const email = `${name}@example.com`;
  const account = { email, username: name, password: PASSWORD };
  await expect(202, visitor.call('POST', '/api/register', account));
  const body = await login(visitor, name);
  assert.equal(body.status, 'authenticated');
  return body.access_token;
}

const login = (visitor, name, more) =>
  expect(200, visitor.call('POST', '/api/auth/login', { login: name, password: PASSWORD, ...more }));

/// Enrols what is plugged in.
async function enrol(visitor, token, kind, label) {
  const path = '/api/users/me/mfa/webauthn';
  const options = await expect(200, visitor.call('POST', `${path}/options`, { kind }, token));
  const credential = await visitor.create(options);
  return expect(201, visitor.call('POST', path, { credential, label }, token));
}

/// Gets the options for the second factor of a pending login.
const challenge = (visitor, pending) =>
  expect(200, visitor.call('POST', '/api/auth/mfa/challenge', {
    mfa_token: pending.mfa_token, factor: 'webauthn',
  }));

const verify = (visitor, pending, credential, more) =>
  visitor.call('POST', '/api/auth/mfa/verify', {
    mfa_token: pending.mfa_token, factor: 'webauthn', credential, ...more,
  });

const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

test('a security key is a second factor', async () => {
  const visitor = await visit(site.url);
  const token = await someone(visitor, 'anna');
  await visitor.plugIn(SECURITY_KEY);
  const enrolled = await enrol(visitor, token, 'security_key', 'The blue one');
  assert.equal(enrolled.factor.kind, 'webauthn');
  assert.equal(enrolled.factor.label, 'The blue one');
  assert.equal(enrolled.recovery_codes.length, 10, 'with the first factor');

  const pending = await login(visitor, 'anna');
  assert.equal(pending.status, 'mfa_required');
  assert.ok(pending.factors.includes('webauthn'));
  const credential = await visitor.get(await challenge(visitor, pending));
  const answer = await expect(200, verify(visitor, pending, credential));
  assert.equal(answer.status, 'authenticated');
  assert.deepEqual(claims(answer.access_token).amr.toSorted(), ['hwk', 'mfa', 'pwd', 'user']);
  await expect(200, visitor.call('GET', '/api/users/me', undefined, answer.access_token));
});

test('the same security key is not enrolled twice', async () => {
  const visitor = await visit(site.url);
  const token = await someone(visitor, 'bella');
  await visitor.plugIn(SECURITY_KEY);
  await enrol(visitor, token, 'security_key', 'One');
  await assert.rejects(enrol(visitor, token, 'security_key', 'Two'), /InvalidStateError/);
});

test('a trusted device is not asked for the key again', async () => {
  const visitor = await visit(site.url);
  const token = await someone(visitor, 'cara');
  await visitor.plugIn(SECURITY_KEY);
  await enrol(visitor, token, 'security_key');
  const pending = await login(visitor, 'cara');
  const credential = await visitor.get(await challenge(visitor, pending));
  const more = { trust_device: true, device_name: 'The laptop' };
  const { device_token } = await expect(200, verify(visitor, pending, credential, more));
  const again = await login(visitor, 'cara', { device_token });
  assert.equal(again.status, 'authenticated');
  assert.equal((await login(visitor, 'cara')).status, 'mfa_required', 'without the token');
});

test('a passkey logs in alone, and is a second factor as well', async () => {
  const visitor = await visit(site.url);
  const token = await someone(visitor, 'dora');
  const device = await visitor.plugIn(PLATFORM);
  await enrol(visitor, token, 'passkey', 'The phone');

  const options = await expect(200, visitor.call('POST', '/api/auth/passkey/options', {}));
  assert.deepEqual(options.publicKey.allowCredentials, [], 'nobody is named');
  const credential = await visitor.get(options);
  const answer = await expect(200, visitor.call('POST', '/api/auth/passkey/verify', { credential }));
  assert.equal(answer.status, 'authenticated');
  assert.equal(answer.user.username, 'dora');
  const { amr } = claims(answer.access_token);
  assert.ok(amr.includes('mfa') && !amr.includes('pwd'), amr.join());

  const pending = await login(visitor, 'dora');
  const second = await visitor.get(await challenge(visitor, pending));
  await expect(200, verify(visitor, pending, second));

  // Without PIN or biometrics the browser itself says no.
  await visitor.setVerified(device, false);
  const more = await expect(200, visitor.call('POST', '/api/auth/passkey/options', {}));
  await assert.rejects(visitor.get(more), /NotAllowedError/);
});

test('a security key does not log in alone', async () => {
  const visitor = await visit(site.url);
  const token = await someone(visitor, 'emma');
  await visitor.plugIn(SECURITY_KEY);
  await enrol(visitor, token, 'security_key');
  const options = await expect(200, visitor.call('POST', '/api/auth/passkey/options', {}));
  await assert.rejects(visitor.get(options), /NotAllowedError/);
});

test('an assertion counts once', async () => {
  const visitor = await visit(site.url);
  const token = await someone(visitor, 'fiona');
  await visitor.plugIn(PLATFORM);
  await enrol(visitor, token, 'passkey');

  const options = await expect(200, visitor.call('POST', '/api/auth/passkey/options', {}));
  const credential = await visitor.get(options);
  const attempt = () => visitor.call('POST', '/api/auth/passkey/verify', { credential });
  await expect(200, attempt());
  assert.equal((await expect(401, attempt())).code, 'invalid_credentials');

  const pending = await login(visitor, 'fiona');
  const second = await visitor.get(await challenge(visitor, pending));
  await expect(200, verify(visitor, pending, second));
  await expect(401, verify(visitor, pending, second));
  // Nor in another login of the same user, whatever that one asked.
  const next = await login(visitor, 'fiona');
  await challenge(visitor, next);
  await expect(401, verify(visitor, next, second));
});

test('what was signed on another origin is refused', async () => {
  const context = await browser.newContext();
  const visitor = await visit(site.url, context);
  const token = await someone(visitor, 'gina');
  const device = await visitor.plugIn(PLATFORM);
  await enrol(visitor, token, 'passkey');
  const [key] = await visitor.copy(device);

  // The phishing page has the same host name and even the key; only the origin gives it away.
  const phisher = await visit(foreign.url, context);
  const copied = await phisher.plugIn(PLATFORM);
  await phisher.paste(copied, key);
  const options = await expect(200, phisher.call('POST', '/api/auth/passkey/options', {}));
  const credential = await phisher.get(options);
  const answer = await expect(401, visitor.call('POST', '/api/auth/passkey/verify', { credential }));
  assert.equal(answer.code, 'invalid_credentials');

  const pending = await login(visitor, 'gina');
  const second = await phisher.get(await challenge(visitor, pending));
  await expect(401, verify(visitor, pending, second));

  // Nor does it make credentials of its own.
  const path = '/api/users/me/mfa/webauthn';
  const body = { kind: 'security_key' };
  const creation = await expect(200, visitor.call('POST', `${path}/options`, body, token));
  await phisher.unplug(copied);
  await phisher.plugIn(SECURITY_KEY);
  const made = await phisher.create(creation);
  await expect(400, visitor.call('POST', path, { credential: made }, token));
});

test('a copied key is found out by its counter', async () => {
  const context = await browser.newContext();
  const visitor = await visit(site.url, context);
  const token = await someone(visitor, 'hanna');
  const device = await visitor.plugIn(PLATFORM);
  await enrol(visitor, token, 'passkey');
  const [key] = await visitor.copy(device);
  const attempt = async () => {
    const options = await expect(200, visitor.call('POST', '/api/auth/passkey/options', {}));
    const credential = await visitor.get(options);
    return visitor.call('POST', '/api/auth/passkey/verify', { credential });
  };
  await expect(200, attempt());
  await expect(200, attempt());
  await visitor.unplug(device);
  await visitor.paste(await visitor.plugIn(PLATFORM), key);
  await expect(401, attempt());
  const { items } = await expect(200, visitor.call('GET', '/api/users/me/activity', undefined, token));
  assert.ok(items.some((entry) => entry.kind === 'security_key_possibly_copied'));
});

test('a passkey steps up a session', async () => {
  const visitor = await visit(site.url);
  const token = await someone(visitor, 'ines');
  await visitor.plugIn(PLATFORM);
  await enrol(visitor, token, 'passkey');
  const ask = { factor: 'webauthn' };
  const options = await expect(200, visitor.call('POST', '/api/auth/step-up/challenge', ask, token));
  const credential = await visitor.get(options);
  const attempt = () => visitor.call('POST', '/api/auth/step-up', { ...ask, credential }, token);
  assert.equal((await expect(200, attempt())).status, 'stepped_up');
  await expect(401, attempt());
});

test('the guide works as it is written', async () => {
  const guide = await readFile(new URL('../../docs/guides/passkeys.md', import.meta.url), 'utf8');
  const [enrolment, alone, second] = [...guide.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);
  const visitor = await visit(site.url);
  const token = await someone(visitor, 'jana');
  await visitor.plugIn(PLATFORM);
  const run = (code, result, mfaToken) =>
    visitor.page.evaluate(async ([code, result, token, mfaToken]) => {
      const post = async (path, body) => (await window.gatepost.call('POST', path, body, token)).body;
      const AsyncFunction = (async () => {}).constructor;
      const all = new AsyncFunction('post', 'mfa_token', `${code}\nreturn ${result};`);
      return all(post, mfaToken);
    }, [code, result, token, mfaToken]);
  assert.equal((await run(enrolment, 'factor')).label, 'My phone');
  assert.equal((await run(alone, 'answer')).status, 'authenticated');
  const pending = await login(visitor, 'jana');
  assert.equal((await run(second, 'answer', pending.mfa_token)).status, 'authenticated');
});
