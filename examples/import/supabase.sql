-- psql -XAt -f supabase.sql "$SUPABASE_DATABASE_URL" > users.jsonl
SELECT json_strip_nulls(json_build_object(
    'email', email,
    'email_verified', email_confirmed_at IS NOT NULL,
    'password_hash', NULLIF(encrypted_password, ''),
    'status', CASE WHEN banned_until > now() THEN 'disabled' ELSE 'active' END,
    'metadata', coalesce(raw_user_meta_data, '{}'),
    'attributes', coalesce(raw_app_meta_data, '{}'),
    'created_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
))
FROM auth.users
WHERE deleted_at IS NULL AND email <> '';
