-- Run once by the PostgreSQL image on its empty volume, as the superuser.
\getenv owner_password DATABASE_OWNER_PASSWORD
\getenv api_password DATABASE_API_PASSWORD
-- PostgreSQL would take an empty password for "nobody may log in", and say nothing.
SELECT length(:'owner_password') >= 16 AND length(:'api_password') >= 16 AS long_enough \gset
\if :long_enough
\else
DO $$ BEGIN
    RAISE EXCEPTION 'DATABASE_OWNER_PASSWORD and DATABASE_API_PASSWORD need 16 characters or more'
        USING HINT = 'Set them in .env.production, remove the volume (docker compose ... down --volumes), start again with --env-file .env.production.';
END $$;
\endif

-- Neither is a superuser, whom row-level security would not hold.
CREATE ROLE gatepost_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE gatepost_api LOGIN PASSWORD :'api_password';
CREATE DATABASE gatepost OWNER gatepost_owner;
REVOKE ALL ON DATABASE gatepost FROM PUBLIC;
GRANT CONNECT ON DATABASE gatepost TO gatepost_api;
