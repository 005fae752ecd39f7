// Verifies the access tokens that come on standard input, one on each line.
//
//   node verify.mjs <PUBLIC_URL of Gatepost> <JWT_AUDIENCE>
import { createInterface } from "node:readline";
import { createRemoteJWKSet, jwtVerify } from "jose";

const [issuer, audience] = process.argv.slice(2);
// Fetched once, and again when a token names a key that is not known yet.
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`));

export async function verify(token) {
  const { payload } = await jwtVerify(token, keys, {
    issuer,
    audience,
    typ: "at+jwt",
    algorithms: ["EdDSA", "ES256", "RS256"],
    requiredClaims: ["sub", "exp", "iat", "jti", "sid"],
    clockTolerance: 5,
  });
  return payload;
}

for await (const token of createInterface({ input: process.stdin })) {
  try {
    const claims = await verify(token);
    console.log(`ok ${claims.sub}`);
  } catch (error) {
    console.log(`refused ${error.code ?? error.message}`);
  }
}
