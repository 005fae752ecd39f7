//! What the database is doing: connections, sizes, indexes, encryption, slow queries.
//!
//! Each part is one statement that answers with one JSON document, so that a command without a pool and
//! a request with a transaction can ask the same. All work without special rights; what others do is
//! seen only with `pg_read_all_stats`, and `unseen` says how much is not.

mod print;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Everything but slow queries.
pub const SQL: &str = "WITH sessions AS (
    SELECT a.*, s.ssl, s.version, s.cipher FROM pg_stat_activity a LEFT JOIN pg_stat_ssl s USING (pid)
    WHERE a.datid IS NOT NULL AND coalesce(a.backend_type, 'client backend') = 'client backend')
  SELECT json_build_object(
    'server_version', current_setting('server_version'),
    'database', current_database(),
    'size_bytes', pg_database_size(current_database()),
    'max_connections', current_setting('max_connections')::int,
    'connections', (SELECT coalesce(json_agg(row_to_json(c) ORDER BY c.count DESC, c.application, c.state), '[]') FROM (
        SELECT coalesce(application_name, '') AS application, coalesce(state, 'unseen') AS state, count(*) AS count,
          coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0)::float8 AS longest_seconds
        FROM sessions WHERE datname = current_database() GROUP BY 1, 2) c),
    'other_databases', (SELECT count(*) FROM sessions WHERE datname IS DISTINCT FROM current_database()),
    'tls', (SELECT coalesce(json_agg(row_to_json(t) ORDER BY t.count DESC, t.version), '[]') FROM (
        SELECT coalesce(ssl, false) AS encrypted, version, cipher, count(*) AS count,
          (SELECT count(*) FROM unnest(array_agg(client_addr)) a WHERE a IS NULL) AS by_socket
        FROM sessions WHERE datname = current_database() AND state IS NOT NULL GROUP BY 1, 2, 3) t),
    'unseen', (SELECT count(*) FROM sessions WHERE datname = current_database() AND state IS NULL),
    'tables', (SELECT coalesce(json_agg(row_to_json(t) ORDER BY t.total_bytes DESC, t.name), '[]') FROM (
        SELECT s.relname AS name, pg_total_relation_size(s.relid) AS total_bytes, pg_indexes_size(s.relid) AS index_bytes,
          s.n_live_tup AS rows, s.n_dead_tup AS dead_rows, s.seq_scan AS whole_scans, coalesce(s.idx_scan, 0) AS index_scans,
          greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at
        FROM pg_stat_user_tables s WHERE s.schemaname = current_schema()) t),
    'indexes', (SELECT coalesce(json_agg(row_to_json(i) ORDER BY i.scans, i.bytes DESC, i.name), '[]') FROM (
        SELECT x.indexrelname AS name, x.relname AS \"table\", pg_relation_size(x.indexrelid) AS bytes, x.idx_scan AS scans,
          d.indisunique AS is_unique
        FROM pg_stat_user_indexes x JOIN pg_index d USING (indexrelid) WHERE x.schemaname = current_schema()) i)
  )::text AS document";

/// Whether slow queries can be had: the schema of the extension, or null.
pub const WHERE_STATEMENTS: &str = "SELECT json_build_object('schema', (SELECT quote_ident(n.nspname)
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'))::text AS document";

/// Where `pg_stat_statements` is.
#[derive(Debug, Deserialize)]
pub struct Place {
    /// Its schema, quoted; none if it is not created in this database.
    pub schema: Option<String>,
}

/// The twenty statements on which most time went. Only those that read or write rows: the text of
/// others may hold passwords, while the values of these are replaced by `$1`.
pub fn slow_sql(schema: &str) -> String {
    format!(
        "SELECT coalesce(json_agg(row_to_json(q) ORDER BY q.total_ms DESC), '[]')::text AS document FROM (
           SELECT calls, total_exec_time AS total_ms, mean_exec_time AS mean_ms, rows, left(query, 300) AS query
           FROM {schema}.pg_stat_statements
           WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND query ~* '^\\s*(select|insert|update|delete|with|merge)\\y'
           ORDER BY total_exec_time DESC LIMIT 20) q"
    )
}

/// What the database is doing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// The server's version.
    pub server_version: String,
    /// The database's name.
    pub database: String,
    /// All of the database on disk.
    pub size_bytes: i64,
    /// The server's limit.
    pub max_connections: i64,
    /// Sessions of this database, by application and state.
    pub connections: Vec<Connections>,
    /// Sessions of the server's other databases.
    pub other_databases: i64,
    /// Sessions of this database by their encryption.
    pub tls: Vec<TlsSessions>,
    /// Sessions of which neither state nor encryption is seen, for want of `pg_read_all_stats`.
    pub unseen: i64,
    /// Tables, the largest first.
    pub tables: Vec<Table>,
    /// Indexes, the least used first.
    pub indexes: Vec<Index>,
    /// What takes the time.
    #[serde(default)]
    pub slow_queries: SlowQueries,
}

/// Sessions that have an application and a state in common.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Connections {
    /// `application_name`; empty if it said none.
    pub application: String,
    /// `active`, `idle`, `idle in transaction` and so on; `unseen` for want of rights.
    pub state: String,
    /// How many.
    pub count: i64,
    /// How long the longest has been in it.
    pub longest_seconds: f64,
}

/// Sessions that are encrypted alike.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TlsSessions {
    /// Whether they are.
    pub encrypted: bool,
    /// Such as `TLSv1.3`.
    pub version: Option<String>,
    /// Such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: Option<String>,
    /// How many.
    pub count: i64,
    /// How many of them come by a socket of the machine, which needs no encryption.
    pub by_socket: i64,
}

/// One table.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// With indexes and long values.
    pub total_bytes: i64,
    /// Its indexes.
    pub index_bytes: i64,
    /// About how many rows.
    pub rows: i64,
    /// Rows that were deleted or replaced and still take room.
    pub dead_rows: i64,
    /// How often the whole table was read.
    pub whole_scans: i64,
    /// How often an index was used.
    pub index_scans: i64,
    /// When it was last vacuumed.
    pub vacuumed_at: Option<String>,
}

/// One index.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Of which table.
    pub table: String,
    /// Its size.
    pub bytes: i64,
    /// How often it was used since the statistics began.
    pub scans: i64,
    /// Whether it also keeps values unique, so that it is needed even if never used.
    pub is_unique: bool,
}

/// Statements by the time that went on them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SlowQueries {
    /// Whether they can be had.
    pub available: bool,
    /// Why not, and what to do.
    pub note: Option<String>,
    /// Twenty at most.
    pub queries: Vec<SlowQuery>,
}

impl SlowQueries {
    /// They cannot be had: the extension is not created.
    pub fn not_created() -> Self {
        Self::without(
            "pg_stat_statements is not created in this database: set shared_preload_libraries = 'pg_stat_statements', restart the server, then CREATE EXTENSION pg_stat_statements",
        )
    }

    /// They cannot be had though the extension is there.
    pub fn not_loaded() -> Self {
        Self::without(
            "pg_stat_statements is created and does not answer: set shared_preload_libraries = 'pg_stat_statements' and restart the server",
        )
    }

    fn without(note: &str) -> Self {
        Self {
            note: Some(note.to_owned()),
            ..Self::default()
        }
    }

    /// These are they.
    pub fn of(queries: Vec<SlowQuery>) -> Self {
        Self {
            available: true,
            note: None,
            queries,
        }
    }
}

/// One statement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SlowQuery {
    /// How often it ran.
    pub calls: i64,
    /// All of its time.
    pub total_ms: f64,
    /// The time of one.
    pub mean_ms: f64,
    /// Rows that it gave or changed.
    pub rows: i64,
    /// Its beginning, with `$1` for values; of other roles' statements seen only with
    /// `pg_read_all_stats`.
    pub query: String,
}
