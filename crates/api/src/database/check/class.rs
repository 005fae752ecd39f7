//! What can be wrong between here and a PostgreSQL, each with a stable code.

use std::fmt;

use serde::{Serialize, Serializer};

/// The steps of a check, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Reading the URL and the files that it names.
    Url,
    /// Looking up the host's name.
    Name,
    /// Opening the connection.
    Connect,
    /// Asking whether the server speaks TLS.
    SslRequest,
    /// TLS, and who the server says it is.
    Tls,
    /// Logging in.
    Login,
    /// What kind of session it is.
    Session,
    /// What the role may do.
    Privileges,
    /// Extensions and functions.
    Functions,
    /// How far the schema is.
    Migrations,
    /// How much room there is, and what drifts.
    Capacity,
}

impl Phase {
    /// All, in their order.
    pub const ALL: [Self; 11] = [
        Self::Url,
        Self::Name,
        Self::Connect,
        Self::SslRequest,
        Self::Tls,
        Self::Login,
        Self::Session,
        Self::Privileges,
        Self::Functions,
        Self::Migrations,
        Self::Capacity,
    ];

    /// `P0` to `P10`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Url => "P0",
            Self::Name => "P1",
            Self::Connect => "P2",
            Self::SslRequest => "P3",
            Self::Tls => "P4",
            Self::Login => "P5",
            Self::Session => "P6",
            Self::Privileges => "P7",
            Self::Functions => "P8",
            Self::Migrations => "P9",
            Self::Capacity => "P10",
        }
    }

    /// What is done in it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Url => "URL",
            Self::Name => "host name",
            Self::Connect => "TCP connection",
            Self::SslRequest => "TLS offered",
            Self::Tls => "TLS",
            Self::Login => "login",
            Self::Session => "session",
            Self::Privileges => "privileges",
            Self::Functions => "functions and extensions",
            Self::Migrations => "migrations",
            Self::Capacity => "capacity and drift",
        }
    }
}

impl Serialize for Phase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// What the exit status says about the kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The settings.
    Configuration = 2,
    /// Names, routes, ports.
    Network = 3,
    /// Encryption and certificates.
    Tls = 4,
    /// Who may log in, and how.
    Authentication = 5,
    /// The database, its roles and rights.
    Database = 6,
    /// The schema.
    Schema = 7,
    /// Room, time, and what the server is doing just now.
    Capacity = 8,
}

macro_rules! classes {
    ($($variant:ident $code:literal $kind:ident $title:literal $fix:literal $look:literal)*) => {
        /// One kind of failure. The codes never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Class {
            $(#[doc = concat!("`", $code, "`: `", $title, "`")] $variant,)*
        }

        impl Class {
            /// Every class, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// `PG01` to `PG57`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// What the exit status says.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind),* }
            }

            /// The cause, in one line.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            /// What to do about it.
            pub const fn fix(self) -> &'static str {
                match self { $(Self::$variant => $fix),* }
            }

            /// Where more is to be seen.
            pub const fn look(self) -> &'static str {
                match self { $(Self::$variant => $look),* }
            }
        }
    };
}

classes! {
    UrlUnreadable "PG01" Configuration "the URL cannot be read"
        "Write postgres://user:password@host:5432/database, and percent-encode the password (`#` %23, `/` %2F, `@` %40, `%` %25), or give it apart: DB_HOST, DB_USER, DB_PASSWORD_FILE, DB_NAME."
        "`gatepost config show` prints the URL in effect"
    UnknownParameter "PG02" Configuration "the URL has a parameter that does not exist"
        "Correct its name or take it out."
        "docs/configuration.md, DATABASE_URL"
    InsecureSslMode "PG03" Configuration "the connection to a remote server is not verified"
        "Use sslmode=verify-full and sslrootcert=<the authority's certificate>; `require` encrypts and verifies nothing."
        "`sslmode` in the URL, or DATABASE_SSL_MODE"
    NameUnknown "PG04" Network "the host's name cannot be resolved"
        "Check the name in the URL; ask for it where the program runs, in its container: `getent hosts <name>`."
        "/etc/resolv.conf, the network of the container"
    Refused "PG05" Network "nothing listens there"
        "Start the server, correct the port, or let it listen on this network: in postgresql.conf listen_addresses = '*', then restart. Inside a container `localhost` is the container itself."
        "on the server: `ss -ltn`, `SHOW listen_addresses`, `SHOW port`"
    Unreachable "PG06" Network "the server cannot be reached"
        "Open the way: firewall, security group, route, VPN. From here: `nc -vz <host> <port>`."
        "the firewalls between here and the server"
    Silent "PG07" Network "the connection stands, but the server does not answer"
        "Behind a load balancer: see whether it has a living backend. Else the server process hangs: look at it, and restart it."
        "the load balancer's health page, the server's log"
    NotPostgres "PG08" Network "what answers is no PostgreSQL"
        "The port belongs to another service. Correct host and port."
        "on the server: `ss -ltnp`"
    SocketMissing "PG09" Network "there is no socket in that directory"
        "Name the directory of `SHOW unix_socket_directories`, or mount it into the container. The file in it is called .s.PGSQL.<port>."
        "on the server: `SHOW unix_socket_directories`, `SHOW port`"
    TlsNotOffered "PG10" Tls "the server does not offer TLS"
        "Turn it on at the server: ssl = on, ssl_cert_file, ssl_key_file in postgresql.conf, then reload. Do not lower sslmode: the password would be protected by nothing."
        "on the server: `SHOW ssl`, `SHOW ssl_cert_file`"
    TlsDemanded "PG11" Authentication "the server takes encrypted connections only"
        "Set sslmode=verify-full and sslrootcert=<the authority's certificate>."
        "pg_hba.conf has `hostssl` lines for this client"
    UnknownAuthority "PG12" Tls "the server's certificate is not signed by an authority that is trusted here"
        "Name the authority's certificate (PEM) in sslrootcert; for a self-signed one that certificate itself, never its key. Compare the fingerprint with the server's first."
        "on the server: `openssl x509 -in server.crt -noout -issuer -fingerprint -sha256`"
    WrongName "PG13" Tls "the server's certificate is for another name"
        "Connect by one of the names in the certificate, or have it issued again with this one among its subject alternative names."
        "on the server: `openssl x509 -in server.crt -noout -ext subjectAltName`"
    CertificateExpired "PG14" Tls "the server's certificate has expired"
        "Renew the certificate and reload the server: `SELECT pg_reload_conf()`."
        "on the server: `openssl x509 -in server.crt -noout -dates`"
    CertificateNotYetValid "PG15" Tls "the server's certificate is not valid yet"
        "Set this machine's clock right; if it is right, the certificate was issued for later."
        "`date`, and on the server `openssl x509 -in server.crt -noout -dates`"
    CertificateFile "PG16" Configuration "a certificate file that the URL names cannot be used"
        "Mount the file where the URL says, readable for this program, in PEM (`-----BEGIN CERTIFICATE-----`), not DER."
        "`openssl x509 -in <file> -noout -subject`"
    TlsVersion "PG17" Tls "server and client have no version or cipher of TLS in common"
        "TLS 1.2 and 1.3 are spoken here: set ssl_max_protocol_version = '' and ssl_min_protocol_version = 'TLSv1.2' at the server, and its usual ssl_ciphers."
        "on the server: `SHOW ssl_min_protocol_version`, `SHOW ssl_max_protocol_version`, `SHOW ssl_ciphers`"
    ClientCertificate "PG18" Authentication "the server wants a certificate of the client"
        "Set sslcert and sslkey in the URL, or DATABASE_SSL_CERT and DATABASE_SSL_KEY: a certificate of the authority in the server's ssl_ca_file."
        "pg_hba.conf: `clientcert=` or method `cert`; on the server `SHOW ssl_ca_file`"
    CertificateNotReloaded "PG19" Tls "the server serves another certificate than the one in its file"
        "The server could not read the new one: its key has to be its own and closed to others (`chmod 0600 server.key`, owner postgres). Then `SELECT pg_reload_conf()`."
        "the server's log: `private key file … has group or world access`"
    NoHbaEntry "PG20" Authentication "no line of pg_hba.conf lets this client in"
        "Add a line to pg_hba.conf, then `SELECT pg_reload_conf()`."
        "on the server: `SHOW hba_file`, `SELECT * FROM pg_hba_file_rules`"
    HbaReject "PG21" Authentication "a line of pg_hba.conf rejects this client"
        "Put a line for this client before the `reject` line of pg_hba.conf, then `SELECT pg_reload_conf()`."
        "on the server: `SHOW hba_file`, `SELECT * FROM pg_hba_file_rules`"
    PasswordRefused "PG22" Authentication "the password is wrong, or the role does not exist, or its password has expired"
        "The server tells nobody which of the three. See its log, then `ALTER ROLE … PASSWORD …`, `CREATE ROLE … LOGIN`, or `ALTER ROLE … VALID UNTIL 'infinity'`. Look for a line end or space in the secret's file."
        "the server's log: `DETAIL: Role \"…\" does not exist.` or `User \"…\" has an expired password.`"
    PasswordMissing "PG23" Authentication "the server asks for a password and none is set"
        "Put it into the URL, or set DB_PASSWORD or DB_PASSWORD_FILE."
        "`gatepost config show`"
    LoginForbidden "PG24" Authentication "the role may not log in"
        "Let it: `ALTER ROLE … LOGIN`."
        "on the server: `\\du`"
    MethodUnsupported "PG25" Authentication "the server's way of authentication does not suit"
        "Use scram-sha-256: in postgresql.conf password_encryption = 'scram-sha-256', set the role's password again, and name the method in pg_hba.conf."
        "on the server: `SELECT * FROM pg_hba_file_rules`"
    DatabaseMissing "PG26" Database "the database does not exist"
        "Correct its name in the URL, or make it: `CREATE DATABASE … OWNER …`."
        "on the server: `\\l`"
    DatabaseClosed "PG27" Database "the database takes no connections"
        "Open it: `ALTER DATABASE … ALLOW_CONNECTIONS true`."
        "on the server: `SELECT datname, datallowconn FROM pg_database`"
    ConnectForbidden "PG28" Database "the role may not connect to this database"
        "Let it: `GRANT CONNECT ON DATABASE … TO …`."
        "on the server: `\\l` shows the privileges"
    TooManyConnections "PG29" Capacity "all of the server's connections are taken"
        "Make DATABASE_MAX_SIZE times the instances smaller than max_connections less what is reserved, or raise max_connections (a restart)."
        "on the server: `SELECT application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC`"
    ConnectionLimit "PG30" Capacity "the connections of this role or this database are all taken"
        "Raise its limit: `ALTER ROLE … CONNECTION LIMIT …` or `ALTER DATABASE … CONNECTION LIMIT …`; -1 is none."
        "on the server: `SELECT rolname, rolconnlimit FROM pg_roles`, `SELECT datname, datconnlimit FROM pg_database`"
    StartingUp "PG31" Capacity "the server is starting or recovering"
        "Wait; the server's log shows how far the recovery is."
        "the server's log"
    ShuttingDown "PG32" Capacity "the server is shutting down"
        "Somebody stops it, perhaps for maintenance: wait, or start it again."
        "the server's log"
    StandbyClosed "PG33" Capacity "the server is a standby that takes no connections"
        "Connect to the primary, or set hot_standby = on."
        "on the server: `SHOW hot_standby`"
    Standby "PG34" Capacity "the server is a standby, which takes no writes"
        "Point the URL to the primary, or to the writer's address of the cluster."
        "`SELECT pg_is_in_recovery()`; on the primary `SELECT * FROM pg_stat_replication`"
    ReadOnly "PG35" Capacity "the session takes no writes, though the server is a primary"
        "Take the setting back: `ALTER ROLE … RESET default_transaction_read_only`, or of the database, or in postgresql.conf. Managed services set it when the disk is full: see there first."
        "`SELECT * FROM pg_db_role_setting`, `SHOW default_transaction_read_only`"
    SchemaClosed "PG36" Database "the role may not use the schema, or make tables in it"
        "As the schema's owner: `GRANT USAGE, CREATE ON SCHEMA … TO …`, or make the role the owner of the database. Or migrate with an owner's MIGRATION_DATABASE_URL."
        "on the server: `\\dn+`"
    NoSchema "PG37" Database "no schema of the search path exists"
        "Make it (`CREATE SCHEMA …`), or correct DATABASE_SCHEMA or the search_path in the URL's options."
        "`SHOW search_path`, `\\dn`"
    TableForbidden "PG38" Database "the role lacks privileges on tables"
        "As the owner of the tables run the GRANT statements below, or `gatepost-migrate up` with DATABASE_API_ROLE set."
        "on the server: `\\dp`"
    NotOwner "PG39" Database "the role does not own the tables that have to be changed"
        "Migrate as the owner: set MIGRATION_DATABASE_URL, and keep this role for the API."
        "on the server: `\\dt`"
    ExtensionMissing "PG40" Database "an extension is not installed on the server's machine"
        "Install it there (Debian: postgresql-contrib), or allow it at the provider. Gatepost needs none."
        "`SELECT * FROM pg_available_extensions`"
    ExtensionNotCreated "PG41" Database "an extension, type or function is not there, or may not be made"
        "As the database's owner: `CREATE EXTENSION …`. Gatepost needs none; a missing function of ours comes with `gatepost-migrate up`."
        "`\\dx`, `\\df`"
    TooOld "PG42" Database "the server is too old"
        "Upgrade to PostgreSQL 14 or newer."
        "`SHOW server_version`"
    Encoding "PG43" Database "the database cannot hold every text"
        "Make it again in UTF-8: `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`, and copy the data."
        "`\\l`"
    BadOption "PG44" Configuration "the server does not know a setting in the URL's options"
        "Take it out of `options=` in the URL."
        "`SELECT name FROM pg_settings`"
    PreparedStatements "PG45" Configuration "the pooler loses prepared statements"
        "Put statement-cache-capacity=0 into the URL, or set max_prepared_statements = 200 in PgBouncer 1.21 or newer, or pool_mode = session."
        "PgBouncer's console: `SHOW CONFIG`, `SHOW VERSION`"
    StartupParameter "PG46" Configuration "the pooler refuses a parameter of the login"
        "In pgbouncer.ini: ignore_startup_parameters = extra_float_digits,options, then RELOAD. With `options` ignored, set what they say on the role: ALTER ROLE … SET …."
        "PgBouncer's log"
    PoolerUpstream "PG47" Capacity "the pooler has no connection for us"
        "See whether its server is up and lets it in, and its limits: max_client_conn, default_pool_size, query_wait_timeout."
        "PgBouncer's log, and in its console `SHOW POOLS`"
    PoolerSession "PG48" Configuration "a pooler gives each transaction another session"
        "Fine for requests. Give migrations and notifications a direct way: MIGRATION_DATABASE_URL with the server's own address."
        "PgBouncer's console: `SHOW POOLS`, pool_mode"
    ConnectionLost "PG49" Capacity "the connection was ended while it was used"
        "Somebody ended it, the server fell, or something between drops idle connections: keep DATABASE_IDLE_TIMEOUT below the server's idle_session_timeout and the firewalls' limits."
        "the server's log"
    Contention "PG50" Capacity "a statement waited too long for others"
        "Find who holds the locks, and end them if need be: `SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0`, then `SELECT pg_terminate_backend(pid)`."
        "`SELECT * FROM pg_locks WHERE NOT granted`"
    DiskFull "PG51" Capacity "the server's disk is full"
        "Free space or make the disk larger. Never delete in pg_wal by hand: look for replication slots and a failing archive_command."
        "on the server: `df -h`, `SELECT * FROM pg_replication_slots`"
    OutOfMemory "PG52" Capacity "the server has run out of memory or file handles"
        "Lower work_mem and max_connections, or give the server more."
        "the server's log, the kernel's log"
    MigrationState "PG53" Schema "the schema is not the one of this program"
        "Run `gatepost-migrate up`; if the database is the newer one, upgrade the program."
        "`gatepost-migrate status`"
    OtherSystem "PG54" Schema "the database belongs to another system"
        "Correct the URL, or give Gatepost a database or schema (DATABASE_SCHEMA) of its own. Nothing is migrated here."
        "`\\dt`"
    Replication "PG55" Capacity "the standbys do not follow as they should"
        "Bring the standbys back. Until then a failover may lose what was acknowledged last, revocations among it."
        "on the primary: `SELECT * FROM pg_stat_replication`"
    ClockDrift "PG56" Capacity "the clocks of this machine and of the server differ"
        "Run NTP on both."
        "`timedatectl`, `SELECT now()`"
    ForeignText "PG57" Database "the server writes its messages in another language"
        "Nothing has to be done: failures are told apart by their codes. For English: lc_messages = 'C'."
        "`SHOW lc_messages`"
}

impl Class {
    /// The class of an error of the server whose SQLSTATE alone says it, whatever was asked.
    pub fn of_sqlstate(sqlstate: &str) -> Option<Self> {
        super::login::of_sqlstate(sqlstate)
    }

    /// The exit status of a check that ends with it.
    pub const fn exit_status(self) -> u8 {
        self.kind() as u8
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_run_from_pg01_to_pg57() {
        let codes: Vec<_> = Class::ALL.iter().map(|class| class.code()).collect();
        let expected: Vec<_> = (1..=57).map(|number| format!("PG{number:02}")).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn every_class_has_one_fix_and_a_place_to_look() {
        for class in Class::ALL {
            assert!(
                !class.fix().is_empty() && !class.look().is_empty(),
                "{class}"
            );
            assert!((2..=8).contains(&class.exit_status()));
        }
    }
}
