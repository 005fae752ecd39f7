//! Stands in for the published crate of this name, and names no authority.
//!
//! The database driver adds the authorities of `sslrootcert` to those compiled into it, so that any
//! public authority could vouch for a private database. With none compiled in, `sslrootcert`
//! replaces as in libpq; who wants the system's authorities says `sslrootcert=system`. Nothing else
//! in the program reads this list.
#![forbid(unsafe_code)]

use rustls_pki_types::TrustAnchor;

/// None.
pub const TLS_SERVER_ROOTS: &[TrustAnchor<'static>] = &[];
