//! Small pages that the links in mails lead to, so that they work in any browser.
//!
//! Asking for a page changes nothing: mail scanners follow links. What is asked for happens when
//! the form is sent. No script, nothing from elsewhere; the form works in a text browser too.

pub mod form;
pub mod handlers;
mod page;
mod texts;
