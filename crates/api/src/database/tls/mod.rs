//! `gatepost db tls`: a private authority and the certificate of a PostgreSQL server.
//!
//! ```text
//! <folder>/root.crt      the authority, which clients trust (`sslrootcert`)
//! <folder>/root.key      its key, needed to renew; better kept elsewhere
//! <folder>/server.crt    the server's certificate (`ssl_cert_file`)
//! <folder>/server.key    its key (`ssl_key_file`)
//! <folder>/clients/      nothing but a copy of root.crt, to be mounted where clients run
//! ```
//!
//! Keys are ECDSA on P-256, which every client knows.

mod look;
mod make;
mod model;

pub use self::{
    look::{Certificate, look},
    make::{Renewed, init, renew},
    model::{Folder, TlsError},
};
