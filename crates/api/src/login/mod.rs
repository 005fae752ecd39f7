//! Login: by password, its throttling, the forced change of a password, and the one function in which
//! every way in ends.

pub mod change;
pub mod grant;
pub mod handlers;
pub mod model;
pub mod service;
pub mod throttle;
