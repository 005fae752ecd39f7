//! What the pages say.

use crate::{crypto::password::PasswordFault, http::language::Language};

/// A page's heading, what it explains, and its button.
pub(super) struct Words {
    pub(super) title: &'static str,
    pub(super) lead: &'static str,
    pub(super) button: &'static str,
}

/// All texts of a language. `{organization}`, `{role}` and `{min}` are filled in.
pub(super) struct Texts {
    pub(super) verify: Words,
    pub(super) verified: &'static str,
    pub(super) verified_pending: &'static str,
    pub(super) reset: Words,
    pub(super) reset_done: &'static str,
    pub(super) cancel: Words,
    pub(super) cancelled: &'static str,
    pub(super) undone: &'static str,
    pub(super) lockdown: Words,
    pub(super) locked_down: &'static str,
    pub(super) invitation: Words,
    pub(super) invitation_new: &'static str,
    pub(super) invitation_new_button: &'static str,
    pub(super) joined: &'static str,
    pub(super) joined_new: &'static str,
    pub(super) inviter_lacks: &'static str,
    pub(super) gone_title: &'static str,
    pub(super) gone: &'static str,
    pub(super) password: &'static str,
    pub(super) display_name: &'static str,
    too_short: &'static str,
    too_long: &'static str,
    blocklisted: &'static str,
    too_guessable: &'static str,
    contains_context: &'static str,
    pub(super) bad_name: &'static str,
}

impl Texts {
    /// Those of a language.
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::German => &GERMAN,
            Language::French => &FRENCH,
        }
    }

    /// Why a password is not taken.
    pub(super) fn fault(&self, fault: PasswordFault) -> String {
        match fault {
            PasswordFault::TooShort { min } => self.too_short.replace("{min}", &min.to_string()),
            PasswordFault::TooLong => self.too_long.to_owned(),
            PasswordFault::Blocklisted => self.blocklisted.to_owned(),
            PasswordFault::TooGuessable => self.too_guessable.to_owned(),
            PasswordFault::ContainsContext => self.contains_context.to_owned(),
        }
    }
}

const ENGLISH: Texts = Texts {
    verify: Words {
        title: "Confirm your e-mail address",
        lead: "Did you register with this address, or ask to change to it? Then confirm that it is yours.",
        button: "Confirm the address",
    },
    verified: "Your address is confirmed. You can close this page.",
    verified_pending: "Your address is confirmed. An administrator will look at your registration; you get a mail.",
    reset: Words {
        title: "Set a new password",
        lead: "All sessions and devices of your account will have to log in again.",
        button: "Set the password",
    },
    reset_done: "Your new password is set. You can log in with it now.",
    cancel: Words {
        title: "Cancel the change of address",
        lead: "If the address was changed already, this brings the old one back, ends all sessions, devices and keys of your account, and sends you a mail to set a new password.",
        button: "Cancel the change",
    },
    cancelled: "The address stays as it is. If you did not ask for the change, somebody else was in your account: set a new password.",
    undone: "The old address is back, and all sessions, devices and keys have ended. You get a mail to set a new password.",
    lockdown: Words {
        title: "This was not me",
        lead: "This ends all sessions, devices and keys of your account. Its password stops working, and you get a mail to set a new one.",
        button: "Close everything",
    },
    locked_down: "All sessions, devices and keys of your account have ended. You get a mail to set a new password.",
    invitation: Words {
        title: "Invitation to {organization}",
        lead: "You are invited to join {organization} as {role}. You have an account with this address.",
        button: "Join",
    },
    invitation_new: "You are invited to join {organization} as {role}. Choose a password for your new account.",
    invitation_new_button: "Make the account and join",
    joined: "You have joined {organization}.",
    joined_new: "Your account is made, and you have joined {organization}. You can log in now.",
    inviter_lacks: "The invitation cannot be accepted: who sent it may not give this role any more. Ask for a new one.",
    gone_title: "This link is not good",
    gone: "It was used before, has expired, or a newer one took its place. Ask for a new one.",
    password: "New password",
    display_name: "Your name (may be left empty)",
    too_short: "Use at least {min} characters; a few unrelated words are easy to remember.",
    too_long: "The password is too long.",
    blocklisted: "This password is on a list of known passwords. Choose another one.",
    too_guessable: "This password is easy to guess. Use a few unrelated words, or let a password manager make one.",
    contains_context: "Do not build the password on your name, your e-mail address or this service's name.",
    bad_name: "The name is too long.",
};

const GERMAN: Texts = Texts {
    verify: Words {
        title: "E-Mail-Adresse bestätigen",
        lead: "Haben Sie sich mit dieser Adresse registriert, oder wollen Sie zu ihr wechseln? Dann bestätigen Sie, dass sie Ihnen gehört.",
        button: "Adresse bestätigen",
    },
    verified: "Ihre Adresse ist bestätigt. Sie können diese Seite schließen.",
    verified_pending: "Ihre Adresse ist bestätigt. Ein Administrator sieht sich Ihre Registrierung an; Sie bekommen eine Mail.",
    reset: Words {
        title: "Neues Passwort setzen",
        lead: "Alle Sitzungen und Geräte Ihres Kontos müssen sich danach neu anmelden.",
        button: "Passwort setzen",
    },
    reset_done: "Ihr neues Passwort ist gesetzt. Sie können sich jetzt damit anmelden.",
    cancel: Words {
        title: "Adressänderung abbrechen",
        lead: "Wurde die Adresse schon geändert, stellt dies die alte wieder her, beendet alle Sitzungen, Geräte und Schlüssel Ihres Kontos und schickt Ihnen eine Mail, mit der Sie ein neues Passwort setzen.",
        button: "Änderung abbrechen",
    },
    cancelled: "Die Adresse bleibt, wie sie ist. Wenn Sie die Änderung nicht veranlasst haben, war jemand anderes in Ihrem Konto: Setzen Sie ein neues Passwort.",
    undone: "Die alte Adresse gilt wieder, und alle Sitzungen, Geräte und Schlüssel sind beendet. Sie bekommen eine Mail, mit der Sie ein neues Passwort setzen.",
    lockdown: Words {
        title: "Das war ich nicht",
        lead: "Dies beendet alle Sitzungen, Geräte und Schlüssel Ihres Kontos. Sein Passwort gilt nicht mehr, und Sie bekommen eine Mail, mit der Sie ein neues setzen.",
        button: "Alles beenden",
    },
    locked_down: "Alle Sitzungen, Geräte und Schlüssel Ihres Kontos sind beendet. Sie bekommen eine Mail, mit der Sie ein neues Passwort setzen.",
    invitation: Words {
        title: "Einladung zu {organization}",
        lead: "Sie sind eingeladen, {organization} beizutreten, als {role}. Sie haben ein Konto mit dieser Adresse.",
        button: "Beitreten",
    },
    invitation_new: "Sie sind eingeladen, {organization} beizutreten, als {role}. Wählen Sie ein Passwort für Ihr neues Konto.",
    invitation_new_button: "Konto anlegen und beitreten",
    joined: "Sie sind {organization} beigetreten.",
    joined_new: "Ihr Konto ist angelegt, und Sie sind {organization} beigetreten. Sie können sich jetzt anmelden.",
    inviter_lacks: "Die Einladung kann nicht angenommen werden: Wer sie geschickt hat, darf diese Rolle nicht mehr geben. Bitten Sie um eine neue.",
    gone_title: "Dieser Link gilt nicht",
    gone: "Er wurde schon benutzt, ist abgelaufen, oder ein neuerer hat ihn ersetzt. Fordern Sie einen neuen an.",
    password: "Neues Passwort",
    display_name: "Ihr Name (kann leer bleiben)",
    too_short: "Nehmen Sie mindestens {min} Zeichen; ein paar Wörter ohne Zusammenhang sind leicht zu merken.",
    too_long: "Das Passwort ist zu lang.",
    blocklisted: "Dieses Passwort steht auf einer Liste bekannter Passwörter. Wählen Sie ein anderes.",
    too_guessable: "Dieses Passwort ist leicht zu erraten. Nehmen Sie ein paar Wörter ohne Zusammenhang, oder lassen Sie es von einem Passwortmanager erzeugen.",
    contains_context: "Bilden Sie das Passwort nicht aus Ihrem Namen, Ihrer E-Mail-Adresse oder dem Namen dieses Dienstes.",
    bad_name: "Der Name ist zu lang.",
};

const FRENCH: Texts = Texts {
    verify: Words {
        title: "Confirmer votre adresse e-mail",
        lead: "Vous êtes-vous inscrit avec cette adresse, ou voulez-vous l'adopter ? Confirmez alors qu'elle est la vôtre.",
        button: "Confirmer l'adresse",
    },
    verified: "Votre adresse est confirmée. Vous pouvez fermer cette page.",
    verified_pending: "Votre adresse est confirmée. Un administrateur examinera votre inscription ; vous recevrez un e-mail.",
    reset: Words {
        title: "Définir un nouveau mot de passe",
        lead: "Toutes les sessions et tous les appareils de votre compte devront se reconnecter.",
        button: "Définir le mot de passe",
    },
    reset_done: "Votre nouveau mot de passe est défini. Vous pouvez maintenant vous connecter avec lui.",
    cancel: Words {
        title: "Annuler le changement d'adresse",
        lead: "Si l'adresse a déjà changé, ceci rétablit l'ancienne, met fin à toutes les sessions, à tous les appareils et à toutes les clés de votre compte, et vous envoie un e-mail pour définir un nouveau mot de passe.",
        button: "Annuler le changement",
    },
    cancelled: "L'adresse reste la même. Si vous n'avez pas demandé ce changement, quelqu'un d'autre était dans votre compte : définissez un nouveau mot de passe.",
    undone: "L'ancienne adresse est rétablie, et toutes les sessions, tous les appareils et toutes les clés ont pris fin. Vous recevrez un e-mail pour définir un nouveau mot de passe.",
    lockdown: Words {
        title: "Ce n'était pas moi",
        lead: "Ceci met fin à toutes les sessions, à tous les appareils et à toutes les clés de votre compte. Son mot de passe ne sera plus valable, et vous recevrez un e-mail pour en définir un nouveau.",
        button: "Mettre fin à tout",
    },
    locked_down: "Toutes les sessions, tous les appareils et toutes les clés de votre compte ont pris fin. Vous recevrez un e-mail pour définir un nouveau mot de passe.",
    invitation: Words {
        title: "Invitation à rejoindre {organization}",
        lead: "Vous êtes invité à rejoindre {organization} avec le rôle {role}. Vous avez un compte avec cette adresse.",
        button: "Rejoindre",
    },
    invitation_new: "Vous êtes invité à rejoindre {organization} avec le rôle {role}. Choisissez un mot de passe pour votre nouveau compte.",
    invitation_new_button: "Créer le compte et rejoindre",
    joined: "Vous avez rejoint {organization}.",
    joined_new: "Votre compte est créé, et vous avez rejoint {organization}. Vous pouvez maintenant vous connecter.",
    inviter_lacks: "L'invitation ne peut pas être acceptée : la personne qui l'a envoyée ne peut plus donner ce rôle. Demandez-en une nouvelle.",
    gone_title: "Ce lien n'est pas valable",
    gone: "Il a déjà servi, a expiré, ou un plus récent l'a remplacé. Demandez-en un nouveau.",
    password: "Nouveau mot de passe",
    display_name: "Votre nom (facultatif)",
    too_short: "Utilisez au moins {min} caractères ; quelques mots sans rapport sont faciles à retenir.",
    too_long: "Le mot de passe est trop long.",
    blocklisted: "Ce mot de passe figure dans une liste de mots de passe connus. Choisissez-en un autre.",
    too_guessable: "Ce mot de passe est facile à deviner. Utilisez quelques mots sans rapport, ou laissez un gestionnaire de mots de passe en créer un.",
    contains_context: "Ne construisez pas le mot de passe à partir de votre nom, de votre adresse e-mail ou du nom de ce service.",
    bad_name: "Le nom est trop long.",
};
