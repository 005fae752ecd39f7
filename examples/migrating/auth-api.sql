-- What the Auth API keeps in PostgreSQL. The password of each is "correct horse".
CREATE TABLE users (
    id UUID PRIMARY KEY,
    email VARCHAR(255) UNIQUE NOT NULL,
    username VARCHAR(100),
    hashed_password VARCHAR(255) NOT NULL,
    is_active BOOLEAN NOT NULL DEFAULT true,
    is_verified BOOLEAN NOT NULL DEFAULT false,
    is_superuser BOOLEAN NOT NULL DEFAULT false,
    created_at TIMESTAMP NOT NULL DEFAULT now()
);
CREATE TABLE organizations (id UUID PRIMARY KEY, name VARCHAR(255) UNIQUE NOT NULL, created_at TIMESTAMP);
CREATE TABLE accounts (id UUID PRIMARY KEY, organization_id UUID REFERENCES organizations, name VARCHAR(255));
CREATE TABLE projects (id UUID PRIMARY KEY, account_id UUID REFERENCES accounts, name VARCHAR(255), owner_id UUID);
CREATE TABLE user_role_assignments (
    id SERIAL PRIMARY KEY,
    user_id UUID REFERENCES users,
    role VARCHAR(50) NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id UUID,
    created_at TIMESTAMP DEFAULT now()
);
INSERT INTO users VALUES
    ('0a000000-0000-4000-8000-000000000001', 'hal@auth.example', 'hal', '$2b$12$FYQHk0fgUsGE0fZ6Tp0pueGs1qHIgBDave5i1xzq7sPVzBKbbWiKK', true, true, true, '2021-03-01'),
    ('0a000000-0000-4000-8000-000000000002', 'ida@auth.example', 'ida', '$2b$12$FYQHk0fgUsGE0fZ6Tp0pueGs1qHIgBDave5i1xzq7sPVzBKbbWiKK', true, true, false, '2021-03-02'),
    ('0a000000-0000-4000-8000-000000000003', 'joe@auth.example', NULL, '$argon2id$v=19$m=19456,t=2,p=1$o/IWOxAQM+VZAyxfkTJL6w$bDWDILCli/0GunhskPEqQIBaQQbxsU/dYEPSgG/xcRU', true, false, false, '2021-03-03');
INSERT INTO organizations VALUES
    ('0b000000-0000-4000-8000-000000000001', 'Acme', '2021-03-01'),
    ('0b000000-0000-4000-8000-000000000002', 'Globex', '2021-04-01');
INSERT INTO accounts VALUES
    ('0c000000-0000-4000-8000-000000000001', '0b000000-0000-4000-8000-000000000001', 'Research');
INSERT INTO projects VALUES
    ('0d000000-0000-4000-8000-000000000001', '0c000000-0000-4000-8000-000000000001', 'Apollo',
        '0a000000-0000-4000-8000-000000000002');
INSERT INTO user_role_assignments (user_id, role, resource_type, resource_id) VALUES
    ('0a000000-0000-4000-8000-000000000001', 'super_admin', 'system', NULL),
    ('0a000000-0000-4000-8000-000000000002', 'owner', 'organization', '0b000000-0000-4000-8000-000000000001'),
    ('0a000000-0000-4000-8000-000000000003', 'EDITOR', 'ACCOUNT', '0c000000-0000-4000-8000-000000000001'),
    ('0a000000-0000-4000-8000-000000000003', 'viewer', 'project', '0d000000-0000-4000-8000-000000000001'),
    ('0a000000-0000-4000-8000-000000000003', 'dreamer', 'project', '0d000000-0000-4000-8000-000000000001');
