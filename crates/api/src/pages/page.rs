//! The frame of every page.

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, VARY},
    },
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::http::{html::escaped, language::Language};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;\
max-width:30rem;margin:3rem auto;padding:0 1rem}h1{font-size:1.4rem;line-height:1.25}\
label,input{display:block;font:inherit}input{box-sizing:border-box;width:100%;\
padding:.5rem;margin:.25rem 0 1rem;border:1px solid #767676;border-radius:4px}\
button{font:inherit;padding:.6rem 1.2rem;border:0;border-radius:4px;background:#0b57d0;color:#fff}\
.fault{color:#b3261e}@media(prefers-color-scheme:dark){body{color:#eee;background:#181818}\
input{color:#eee;background:#222}.fault{color:#f2b8b5}button{background:#a8c7fa;color:#062e6f}}";

/// Only the one style above, and forms that go back to where they came from.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    )
});

/// A field of a form.
pub(super) struct Field {
    /// What it is sent as.
    pub(super) name: &'static str,
    /// What it is called on the page.
    pub(super) label: &'static str,
    /// `password` or `text`.
    pub(super) kind: &'static str,
    /// What browsers may fill in.
    pub(super) autocomplete: &'static str,
    /// Whether the browser asks for it.
    pub(super) is_required: bool,
}

/// A form that sends a token and what is filled in to the page's own address.
pub(super) struct Ask<'a> {
    pub(super) token: &'a str,
    pub(super) fields: &'a [Field],
    pub(super) button: &'a str,
    /// What was wrong with what was sent before.
    pub(super) fault: Option<String>,
}

impl Ask<'_> {
    fn html(&self) -> String {
        let fault = self.fault.as_ref().map_or_else(String::new, |fault| {
            format!("<p class=\"fault\" role=\"alert\">{}</p>", escaped(fault))
        });
        let fields: Vec<String> = self
            .fields
            .iter()
            .map(|field| {
                format!(
                    "<label for=\"{name}\">{}</label><input id=\"{name}\" name=\"{name}\" \
                     type=\"{}\" autocomplete=\"{}\"{}>",
                    escaped(field.label),
                    field.kind,
                    field.autocomplete,
                    if field.is_required { " required" } else { "" },
                    name = field.name,
                )
            })
            .collect();
        format!(
            "{fault}<form method=\"post\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
             {}<button>{}</button></form>",
            escaped(self.token),
            fields.concat(),
            escaped(self.button)
        )
    }
}

/// A page with a heading, paragraphs, and a form if there is something to do.
pub(super) fn page(
    language: Language,
    status: StatusCode,
    title: &str,
    paragraphs: &[&str],
    ask: Option<&Ask<'_>>,
) -> HttpResponse {
    let text: Vec<String> = paragraphs
        .iter()
        .map(|text| format!("<p>{}</p>", escaped(text)))
        .collect();
    let text = text.concat();
    let form = ask.map_or_else(String::new, Ask::html);
    let (tag, title) = (language.tag(), escaped(title));
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((CONTENT_LANGUAGE, tag))
        .insert_header((VARY, "Accept-Language"))
        .body(format!(
            "<!doctype html><html lang=\"{tag}\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
             <style>{STYLE}</style><main><h1>{title}</h1>{text}{form}</main></html>"
        ))
}
