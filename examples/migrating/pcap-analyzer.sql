-- Users as a PCAP analyzer keeps them in SQLite. The password of each is "correct horse".
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    username VARCHAR(50) NOT NULL UNIQUE,
    email VARCHAR(255) NOT NULL UNIQUE,
    hashed_password VARCHAR(255) NOT NULL,
    role VARCHAR(20) NOT NULL DEFAULT 'user',
    is_active BOOLEAN NOT NULL DEFAULT 1,
    is_approved BOOLEAN NOT NULL DEFAULT 0,
    profile_picture_url VARCHAR(500),
    uploads_count INTEGER NOT NULL DEFAULT 0,
    storage_used BIGINT NOT NULL DEFAULT 0,
    password_reset_token VARCHAR(64),
    created_at DATETIME,
    last_login DATETIME
);
INSERT INTO users VALUES
    (1, 'root', 'root@pcap.example', '$2b$12$FYQHk0fgUsGE0fZ6Tp0pueGs1qHIgBDave5i1xzq7sPVzBKbbWiKK', 'admin', 1, 1, NULL, 0, 0, NULL,
        '2023-02-01 08:00:00', '2024-05-01 12:30:00.123456'),
    (2, 'ada', 'ada@pcap.example', '$2b$12$FYQHk0fgUsGE0fZ6Tp0pueGs1qHIgBDave5i1xzq7sPVzBKbbWiKK', 'user', 1, 1, 'https://pcap.example/ada.png', 12, 734003200, NULL,
        '2023-02-03 09:15:00', '2024-05-02 07:00:00'),
    (3, 'ben', 'ben@pcap.example', '$2b$12$FYQHk0fgUsGE0fZ6Tp0pueGs1qHIgBDave5i1xzq7sPVzBKbbWiKK', 'user', 1, 0, '/static/default.png', 0, 0, 'not to be seen',
        '2024-04-30 23:59:59', NULL),
    (4, 'cleo', 'cleo@pcap.example', '$2b$12$FYQHk0fgUsGE0fZ6Tp0pueGs1qHIgBDave5i1xzq7sPVzBKbbWiKK', 'user', 0, 1, NULL, 3, 1048576, NULL,
        '2023-07-14 00:00:00', NULL),
    (5, 'dan', 'dan@pcap', '$2b$12$FYQHk0fgUsGE0fZ6Tp0pueGs1qHIgBDave5i1xzq7sPVzBKbbWiKK', 'user', 1, 1, NULL, 0, 0, NULL, '2023-07-15 00:00:00', NULL);
