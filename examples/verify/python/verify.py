"""Verifies the access tokens that come on standard input, one on each line.

python verify.py <PUBLIC_URL of Gatepost> <JWT_AUDIENCE>
"""

import sys

import jwt

issuer, audience = sys.argv[1:]
# Fetched when needed, kept for five minutes, and fetched again when a token names a new key.
keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json", lifespan=300)


def verify(token: str) -> dict:
    if jwt.get_unverified_header(token).get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token),
        algorithms=["EdDSA", "ES256", "RS256"],
        issuer=issuer,
        audience=audience,
        leeway=5,
        options={"require": ["sub", "exp", "iat", "iss", "aud", "jti"]},
    )


for line in sys.stdin:
    try:
        claims = verify(line.strip())
        print("ok", claims["sub"], flush=True)
    except jwt.PyJWTError as error:
        print("refused", error, flush=True)
