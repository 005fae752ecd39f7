//! Comparing people with the users that there are, and writing those who are new.

use std::{
    collections::{BTreeMap, HashMap, hash_map::RandomState},
    hash::BuildHasher,
};

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;
use uuid::Uuid;

use super::{
    person::Person,
    repo::{self, NewAssignment, Users},
    report::{Fault, Kind, Place},
    service::{Import, ImportError, OnConflict, Progressing, TRIES},
};
use crate::{
    access::resource::ResourceType,
    activity,
    audit::{self, Doer, Entry, Target},
    crypto::password::Format,
    database::db::DbTx,
};

/// A person and where they stand.
type Numbered = (Place, Person);

/// Where each address, username and id of the source stands. By hashes, because a million of them
/// have to have room; 128 bits of them, because no two may be taken for the same.
#[derive(Default)]
pub(super) struct Seen {
    hashers: (RandomState, RandomState),
    places: HashMap<u128, u64>,
}

impl Seen {
    /// Notes `text`, and returns where it stood before.
    pub(super) fn note(&mut self, kind: &str, text: &str, number: u64) -> Option<u64> {
        let key = (kind, text);
        let (first, second) = &self.hashers;
        let hash = u128::from(first.hash_one(key)) << 64 | u128::from(second.hash_one(key));
        match self.places.entry(hash) {
            std::collections::hash_map::Entry::Occupied(place) => Some(*place.get()),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(number);
                None
            }
        }
    }

    /// Whether something of this person stood before.
    pub(super) fn fault(&mut self, place: &Place, person: &Person) -> Option<Fault> {
        let at = |number: u64| match place.key {
            None => format!("line {number}"),
            Some(_) => format!("row {number}"),
        };
        let id = person.id.map(|id| id.id.to_string());
        let name = person.username_normalized();
        let noted = [
            id.and_then(|id| self.note("id", &id, place.number))
                .map(|at| ("duplicate_id", "id", at)),
            self.note("email", &person.email_normalized, place.number)
                .map(|at| ("duplicate_email", "e-mail address", at)),
            name.and_then(|name| self.note("username", &name, place.number))
                .map(|at| ("duplicate_username", "username", at)),
        ];
        let (code, what, number) = noted.into_iter().flatten().next()?;
        let text = format!(
            "{} has the same {what}: change or leave out one",
            at(number)
        );
        Some((code, text))
    }
}

/// What becomes of the people of a batch.
#[derive(Default)]
struct Judged {
    new: Vec<(Uuid, Person)>,
    /// Where the first new one stands.
    first: Option<Place>,
    last: Option<Place>,
    skipped: u64,
    faults: Vec<(Place, Fault)>,
    /// Users who are here with another id.
    notices: Vec<(Place, Fault)>,
    /// What the source calls a user, and who that is here; nobody, if it is not sure.
    known: Vec<(Uuid, Option<Uuid>)>,
}

impl Import<'_> {
    /// Compares, and with `progress.writes` writes, one batch.
    pub(super) async fn people(
        &mut self,
        batch: Vec<Numbered>,
        progress: &mut Progressing,
    ) -> Result<(), ImportError> {
        let judged = if progress.writes {
            let mut tries = 0;
            loop {
                match self.write_people(&batch).await {
                    Err(error) if tries < TRIES && error.may_pass() => tries += 1,
                    result => break result?,
                }
            }
        } else {
            let known = known(self.db, &batch).await?;
            judge(&batch, &known)
        };
        self.note_people(judged, progress)
    }

    async fn write_people(&self, batch: &[Numbered]) -> Result<Judged, ImportError> {
        let tx = self.begin().await?;
        let judged = judge(batch, &known(&tx, batch).await?);
        if judged.new.is_empty() {
            return Ok(judged);
        }
        repo::insert_users(&tx, &judged.new, self.clock.now()).await?;
        let ids: Vec<_> = judged.new.iter().map(|(id, _)| *id).collect();
        activity::record_all(&tx, self.clock, &self.origin, &ids, "imported").await?;
        if self.options.administrators {
            self.promote(&tx, &judged.new).await?;
        }
        let entry = self.entry_of(&judged);
        audit::record(&tx, self.clock, &self.origin, entry).await?;
        tx.commit().await?;
        Ok(judged)
    }

    /// One entry for the batch; each user has an activity entry with the same `request_id`.
    fn entry_of(&self, judged: &Judged) -> Entry {
        let mut passwords: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, person) in &judged.new {
            let name = person.password.as_ref().map_or("none", Format::name);
            *passwords.entry(name).or_default() += 1;
        }
        let place = |place: &Option<Place>| place.as_ref().map(|place| place.number);
        Entry {
            doer: Doer::Program,
            action: "users.imported",
            target: Target::global("import", &*self.origin.request_id),
            details: json!({
                "source": self.mapping.name,
                "users": judged.new.len(),
                "first": place(&judged.first),
                "last": place(&judged.last),
                "passwords": passwords,
            }),
        }
    }

    async fn promote(&self, tx: &DbTx, people: &[(Uuid, Person)]) -> Result<(), ImportError> {
        let role = self.role("admin", ResourceType::System)?;
        let now = self.clock.now();
        let new: Vec<_> = people
            .iter()
            .filter(|(_, person)| person.administrator)
            .map(|(id, _)| NewAssignment {
                id: Uuid::now_v7(),
                user_id: *id,
                role_id: role.id,
                role: role.key.clone(),
                resource_type: ResourceType::System,
                resource_id: None,
                organization_id: None,
                reason: Some("imported".to_owned()),
                expires_at: None,
                created_at: now,
            })
            .collect();
        self.write_assignments(tx, &new.iter().collect::<Vec<_>>())
            .await
    }

    fn note_people(
        &mut self,
        judged: Judged,
        progress: &mut Progressing,
    ) -> Result<(), ImportError> {
        let counts = self.report.of(Kind::Users);
        counts.new += judged.new.len() as u64;
        counts.skipped += judged.skipped;
        progress.goes_on(counts, judged.first.as_ref());
        for (place, fault) in judged.faults {
            self.report.refuse(Kind::Users, place, fault)?;
        }
        for (place, fault) in judged.notices {
            match self.options.on_conflict {
                OnConflict::Skip => self.report.notice(Kind::Users, place, fault)?,
                OnConflict::Fail => self.report.refuse(Kind::Users, place, fault)?,
            }
        }
        for (_, person) in &judged.new {
            if person.administrator && !self.options.administrators {
                self.report.administrators += 1;
            }
        }
        if self.needs_people {
            let new = judged.new.iter().map(|(id, _)| (*id, Some(*id)));
            self.people.extend(new.chain(judged.known));
        }
        Ok(())
    }
}

async fn known(db: &impl ConnectionTrait, batch: &[Numbered]) -> Result<Users, DbErr> {
    let people = || batch.iter().map(|(_, person)| person);
    repo::users(
        db,
        people().filter_map(|person| Some(person.id?.id)).collect(),
        people()
            .map(|person| person.email_normalized.clone())
            .collect(),
        people().filter_map(Person::username_normalized).collect(),
    )
    .await
}

/// Whoever is here stays as they are.
fn judge(batch: &[Numbered], known: &Users) -> Judged {
    let mut judged = Judged::default();
    for (place, person) in batch {
        let theirs = person.id.map(|id| id.id);
        let same_id = person
            .id
            .and_then(|id| known.ids.get(&id.id).map(|email| (id, email)));
        if let Some((id, email)) = same_id {
            if id.kept || *email == person.email_normalized {
                judged.skipped += 1;
                judged.known.push((id.id, Some(id.id)));
            } else {
                judged.faults.push((place.clone(), other_source()));
            }
        } else if let Some((id, proven)) = known.emails.get(&person.email_normalized) {
            judged.skipped += 1;
            judged.notices.push((place.clone(), email_exists(*proven)));
            judged
                .known
                .extend(theirs.map(|theirs| (theirs, proven.then_some(*id))));
        } else if person
            .username_normalized()
            .is_some_and(|name| known.usernames.contains(&name))
        {
            let text = "this username is another user's: change it, or leave it out";
            let fault = ("username_taken", text.to_owned());
            judged.faults.push((place.clone(), fault));
        } else {
            let first = judged.first.get_or_insert_with(|| place.clone());
            judged.last = Some(if first == place {
                first.clone()
            } else {
                place.clone()
            });
            let id = theirs.unwrap_or_else(Uuid::now_v7);
            judged.new.push((id, person.clone()));
        }
    }
    judged
}

fn email_exists(proven: bool) -> Fault {
    let text = if proven {
        "this e-mail address is a user's already, who stays as they are"
    } else {
        "this e-mail address is a user's already, who stays as they are; it is not proven to be \
         theirs, so they get no roles"
    };
    ("email_exists", text.to_owned())
}

fn other_source() -> Fault {
    let text = "a row with this id was imported before, with another e-mail address: if that was \
                from another installation, give this one a name of its own with --source NAME";
    ("id_taken", text.to_owned())
}
