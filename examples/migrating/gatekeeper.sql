-- Users as Gatekeeper keeps them in PostgreSQL. The password of each is "correct horse".
CREATE TABLE users (
    id SERIAL PRIMARY KEY,
    username VARCHAR(50) UNIQUE NOT NULL,
    email VARCHAR(255) UNIQUE NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    role VARCHAR(20) NOT NULL DEFAULT 'user',
    profile_picture_url VARCHAR(500),
    is_active BOOLEAN NOT NULL DEFAULT true,
    metadata JSONB NOT NULL DEFAULT '{}',
    documents_processed INTEGER NOT NULL DEFAULT 0,
    api_calls BIGINT NOT NULL DEFAULT 0,
    mfa_secret VARCHAR(64),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
INSERT INTO users (username, email, password_hash, role, profile_picture_url, is_active, metadata,
    documents_processed, api_calls, mfa_secret, created_at) VALUES
    ('gil', 'gil@gatekeeper.example', '$argon2id$v=19$m=19456,t=2,p=1$o/IWOxAQM+VZAyxfkTJL6w$bDWDILCli/0GunhskPEqQIBaQQbxsU/dYEPSgG/xcRU', 'admin', NULL, true, '{}', 0, 3, 'SECRET', '2022-11-05 10:00:00+01'),
    ('eve', 'eve@gatekeeper.example', '$argon2id$v=19$m=19456,t=2,p=1$o/IWOxAQM+VZAyxfkTJL6w$bDWDILCli/0GunhskPEqQIBaQQbxsU/dYEPSgG/xcRU', 'user', 'https://gatekeeper.example/eve.png', true,
        '{"theme": "dark", "team": "red"}', 42, 1700, NULL, '2023-01-01 00:00:00+00'),
    ('fay', 'fay@gatekeeper.example', '$argon2id$v=19$m=19456,t=2,p=1$o/IWOxAQM+VZAyxfkTJL6w$bDWDILCli/0GunhskPEqQIBaQQbxsU/dYEPSgG/xcRU', 'user', NULL, false, '{}', 1, 0, NULL, '2023-06-30 12:00:00+00');
