//! Mappings that come along.

use super::{Mapping, MappingError};

/// A mapping that comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ready {
    /// One table of users with the columns that such tables usually have.
    Table,
    /// The PCAP analyzer.
    PcapAnalyzer,
    /// Gatekeeper with PostgreSQL storage.
    Gatekeeper,
    /// The Auth API, with organizations, accounts, projects and role assignments.
    AuthApi,
}

impl Ready {
    /// The file, as a mapping of one's own can begin.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Table => include_str!("ready/table.toml"),
            Self::PcapAnalyzer => include_str!("ready/pcap-analyzer.toml"),
            Self::Gatekeeper => include_str!("ready/gatekeeper.toml"),
            Self::AuthApi => include_str!("ready/auth-api.toml"),
        }
    }

    /// What it says.
    ///
    /// # Errors
    ///
    /// None: a test reads them all.
    pub fn mapping(self) -> Result<Mapping, MappingError> {
        Mapping::parse("that comes along", self.text(), false)
    }
}
