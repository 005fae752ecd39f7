//! HTTP in, HTML out.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};

use super::{
    form::{Form, LinkForm, PasswordForm, RegistrationForm},
    page::{Ask, Field, page},
    texts::{Texts, Words},
};
use crate::{
    crypto::password::PasswordFault,
    email::{
        self,
        model::{Cancellation, EmailError},
    },
    http::{
        language::Language,
        origin::Origin,
        text::{DisplayName, Email},
    },
    invitations::{
        model::InvitationError,
        service::{self as invitations, Offer},
    },
    problem::Problem,
    recovery::{
        self,
        model::{RecoveryError, Reset},
    },
    registration::{
        self,
        model::{Register, RegistrationError},
    },
    state::AppState,
    users::model::UserError,
};

/// Who looks at a page: the language of their browser.
struct Reader {
    language: Language,
    texts: &'static Texts,
}

impl Reader {
    fn of(req: &HttpRequest) -> Self {
        let language = Language::of_request(req).unwrap_or_default();
        Self {
            language,
            texts: Texts::of(language),
        }
    }

    /// A page that asks for something.
    fn ask(&self, words: &Words, ask: &Ask<'_>) -> HttpResponse {
        self.ask_with(words.title, words.lead, ask)
    }

    fn ask_with(&self, title: &str, lead: &str, ask: &Ask<'_>) -> HttpResponse {
        let status = match ask.fault {
            Some(_) => StatusCode::BAD_REQUEST,
            None => StatusCode::OK,
        };
        page(self.language, status, title, &[lead], Some(ask))
    }

    fn done(&self, words: &Words, text: &str) -> HttpResponse {
        page(self.language, StatusCode::OK, words.title, &[text], None)
    }

    /// The link is unknown, used or too old.
    fn gone(&self) -> HttpResponse {
        let (title, text) = (self.texts.gone_title, self.texts.gone);
        page(self.language, StatusCode::BAD_REQUEST, title, &[text], None)
    }
}

/// The token of the page's link; other parameters, which mailers may add, are ignored.
fn token(req: &HttpRequest) -> String {
    url::form_urlencoded::parse(req.query_string().as_bytes())
        .find(|(name, _)| name == "token")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn button<'a>(token: &'a str, words: &'a Words) -> Ask<'a> {
    Ask {
        token,
        fields: &[],
        button: words.button,
        fault: None,
    }
}

fn password_field(texts: &Texts) -> Field {
    Field {
        name: "password",
        label: texts.password,
        kind: "password",
        autocomplete: "new-password",
        is_required: true,
    }
}

/// Confirm an e-mail address: the page that the link in the mail leads to. Changes nothing.
#[utoipa::path(get, path = "/account/verify-email", tag = "Pages", operation_id = "verify_email_page",
    params(("token" = Option<String>, Query, description = "From the mail")),
    responses((status = 200, body = String, content_type = "text/html")))]
pub async fn verify_email(req: HttpRequest) -> HttpResponse {
    let (reader, token) = (Reader::of(&req), token(&req));
    let words = &reader.texts.verify;
    reader.ask(words, &button(&token, words))
}

/// Confirm an e-mail address: what the page's form asks for.
#[utoipa::path(post, path = "/account/verify-email", tag = "Pages", operation_id = "verify_email_form",
    request_body(content = LinkForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 400, body = String, content_type = "text/html")))]
pub async fn verify_email_now(
    state: Data<AppState>,
    req: HttpRequest,
    origin: Origin,
    form: Form,
) -> Result<HttpResponse, Problem> {
    let reader = Reader::of(&req);
    match email::service::verify(&state, &origin, form.token()).await {
        Ok(status) => {
            let texts = reader.texts;
            let text = match status.as_str() {
                "pending_approval" => texts.verified_pending,
                _ => texts.verified,
            };
            Ok(reader.done(&texts.verify, text))
        }
        Err(EmailError::InvalidToken) => Ok(reader.gone()),
        Err(error) => Err(error.into()),
    }
}

/// Stop or undo a change of address: the page that the link in the mail leads to. Changes nothing.
#[utoipa::path(get, path = "/account/cancel-email-change", tag = "Pages", operation_id = "cancel_email_change_page",
    params(("token" = Option<String>, Query, description = "From the mail")),
    responses((status = 200, body = String, content_type = "text/html")))]
pub async fn cancel_email_change(req: HttpRequest) -> HttpResponse {
    let (reader, token) = (Reader::of(&req), token(&req));
    let words = &reader.texts.cancel;
    reader.ask(words, &button(&token, words))
}

/// Stop or undo a change of address: what the page's form asks for.
#[utoipa::path(post, path = "/account/cancel-email-change", tag = "Pages", operation_id = "cancel_email_change_form",
    request_body(content = LinkForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 400, body = String, content_type = "text/html")))]
pub async fn cancel_email_change_now(
    state: Data<AppState>,
    req: HttpRequest,
    origin: Origin,
    form: Form,
) -> Result<HttpResponse, Problem> {
    let reader = Reader::of(&req);
    match email::change::cancel(&state, &origin, form.token()).await {
        Ok(cancellation) => {
            let texts = reader.texts;
            let text = match cancellation {
                Cancellation::Cancelled => texts.cancelled,
                Cancellation::Undone => texts.undone,
            };
            Ok(reader.done(&texts.cancel, text))
        }
        Err(EmailError::InvalidToken) => Ok(reader.gone()),
        Err(error) => Err(error.into()),
    }
}

/// This was not me: the page that the link in the mail leads to. Changes nothing.
#[utoipa::path(get, path = "/account/lockdown", tag = "Pages", operation_id = "lockdown_page",
    params(("token" = Option<String>, Query, description = "From the mail")),
    responses((status = 200, body = String, content_type = "text/html")))]
pub async fn lockdown(req: HttpRequest) -> HttpResponse {
    let (reader, token) = (Reader::of(&req), token(&req));
    let words = &reader.texts.lockdown;
    reader.ask(words, &button(&token, words))
}

/// This was not me: what the page's form asks for.
#[utoipa::path(post, path = "/account/lockdown", tag = "Pages", operation_id = "lockdown_form",
    request_body(content = LinkForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 400, body = String, content_type = "text/html")))]
pub async fn lockdown_now(
    state: Data<AppState>,
    req: HttpRequest,
    origin: Origin,
    form: Form,
) -> Result<HttpResponse, Problem> {
    let reader = Reader::of(&req);
    match recovery::lockdown::act(&state, &origin, form.token()).await {
        Ok(()) => Ok(reader.done(&reader.texts.lockdown, reader.texts.locked_down)),
        Err(RecoveryError::InvalidToken) => Ok(reader.gone()),
        Err(error) => Err(error.into()),
    }
}

fn ask_for_password(reader: &Reader, token: &str, fault: Option<String>) -> HttpResponse {
    let words = &reader.texts.reset;
    let ask = Ask {
        token,
        fields: &[password_field(reader.texts)],
        button: words.button,
        fault,
    };
    reader.ask(words, &ask)
}

/// Set a new password: the page that the link in the mail leads to. Changes nothing.
#[utoipa::path(get, path = "/account/reset-password", tag = "Pages", operation_id = "reset_password_page",
    params(("token" = Option<String>, Query, description = "From the mail")),
    responses((status = 200, body = String, content_type = "text/html")))]
pub async fn reset_password(req: HttpRequest) -> HttpResponse {
    ask_for_password(&Reader::of(&req), &token(&req), None)
}

/// Set a new password: what the page's form asks for.
#[utoipa::path(post, path = "/account/reset-password", tag = "Pages", operation_id = "reset_password_form",
    request_body(content = PasswordForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 400, body = String, content_type = "text/html")))]
pub async fn reset_password_now(
    state: Data<AppState>,
    req: HttpRequest,
    origin: Origin,
    form: Form,
) -> Result<HttpResponse, Problem> {
    let reader = Reader::of(&req);
    let reset = Reset {
        token: form.token().to_owned(),
        new_password: form.password(),
    };
    match recovery::service::reset(&state, &origin, reset).await {
        Ok(()) => Ok(reader.done(&reader.texts.reset, reader.texts.reset_done)),
        Err(RecoveryError::InvalidToken) => Ok(reader.gone()),
        Err(RecoveryError::User(UserError::Password(fault))) => {
            let fault = Some(reader.texts.fault(fault));
            Ok(ask_for_password(&reader, form.token(), fault))
        }
        Err(error) => Err(error.into()),
    }
}

/// Fills in what an invitation is to.
fn filled(text: &str, offer: &Offer) -> String {
    text.replace("{role}", &offer.role)
        .replace("{organization}", &offer.organization)
}

fn ask_to_join(reader: &Reader, token: &str, offer: &Offer, fault: Option<String>) -> HttpResponse {
    let (texts, words) = (reader.texts, &reader.texts.invitation);
    let title = filled(words.title, offer);
    if offer.user.is_some() {
        let ask = button(token, words);
        return reader.ask_with(&title, &filled(words.lead, offer), &ask);
    }
    let name = Field {
        name: "display_name",
        label: texts.display_name,
        kind: "text",
        autocomplete: "name",
        is_required: false,
    };
    let ask = Ask {
        token,
        fields: &[name, password_field(texts)],
        button: texts.invitation_new_button,
        fault,
    };
    reader.ask_with(&title, &filled(texts.invitation_new, offer), &ask)
}

/// Accept an invitation: the page that the link in the mail leads to. Changes nothing.
#[utoipa::path(get, path = "/account/invitation", tag = "Pages", operation_id = "invitation_page",
    params(("token" = Option<String>, Query, description = "From the mail")),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 400, body = String, content_type = "text/html")))]
pub async fn invitation(state: Data<AppState>, req: HttpRequest) -> Result<HttpResponse, Problem> {
    let (reader, token) = (Reader::of(&req), token(&req));
    Ok(match invitations::offer(&state, &token).await? {
        Some(offer) => ask_to_join(&reader, &token, &offer, None),
        None => reader.gone(),
    })
}

/// Accept an invitation: what the page's form asks for.
#[utoipa::path(post, path = "/account/invitation", tag = "Pages", operation_id = "invitation_form",
    request_body(content = RegistrationForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = 400, body = String, content_type = "text/html")))]
pub async fn invitation_now(
    state: Data<AppState>,
    req: HttpRequest,
    origin: Origin,
    form: Form,
) -> Result<HttpResponse, Problem> {
    let reader = Reader::of(&req);
    let Some(offer) = invitations::offer(&state, form.token()).await? else {
        return Ok(reader.gone());
    };
    let joined = if offer.user.is_some() {
        let accepted = invitations::accept_by_mail(&state, &origin, form.token()).await;
        accepted
            .map(|()| reader.texts.joined)
            .map_err(Refusal::Invitation)
    } else {
        register(&state, &origin, reader.language, &form, &offer)
            .await
            .map(|()| reader.texts.joined_new)
    };
    let title = filled(reader.texts.invitation.title, &offer);
    let say = |status, text: &str| {
        let text = filled(text, &offer);
        page(reader.language, status, &title, &[&text], None)
    };
    let again = |fault: String| ask_to_join(&reader, form.token(), &offer, Some(fault));
    match joined {
        Ok(text) => Ok(say(StatusCode::OK, text)),
        Err(Refusal::Password(fault)) => Ok(again(reader.texts.fault(fault))),
        Err(Refusal::Name) => Ok(again(reader.texts.bad_name.to_owned())),
        Err(Refusal::Gone | Refusal::Invitation(InvitationError::NotFound)) => Ok(reader.gone()),
        Err(Refusal::Invitation(InvitationError::InviterLacks)) => {
            Ok(say(StatusCode::BAD_REQUEST, reader.texts.inviter_lacks))
        }
        Err(Refusal::Invitation(error)) => Err(error.into()),
        Err(Refusal::Registration(error)) => Err(error.into()),
    }
}

/// Why nobody joined.
enum Refusal {
    Password(PasswordFault),
    Name,
    Gone,
    Invitation(InvitationError),
    Registration(RegistrationError),
}

/// Makes the account of somebody who was invited.
async fn register(
    state: &AppState,
    origin: &Origin,
    language: Language,
    form: &Form,
    offer: &Offer,
) -> Result<(), Refusal> {
    let display_name = match form.display_name() {
        "" => None,
        name => Some(DisplayName::try_from(name.to_owned()).map_err(|_| Refusal::Name)?),
    };
    let new = Register {
        email: Email::try_from(offer.email.clone()).map_err(|_| Refusal::Gone)?,
        username: None,
        password: form.password(),
        display_name,
        invitation_token: Some(form.token().to_owned()),
    };
    let registered = registration::service::register(state, origin, Some(language), new).await;
    registered.map(drop).map_err(|error| match error {
        RegistrationError::User(UserError::Password(fault)) => Refusal::Password(fault),
        RegistrationError::InvitationRequired => Refusal::Gone,
        other => Refusal::Registration(other),
    })
}
