//! A mapping that has met the columns of a table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    Mapping, MappingError, Members, Names, Rule, Section, Spec, Unfit,
    convert::{Type, convert, object, plain},
    fields,
};
use crate::import::{
    report::{Fault, Kind},
    source::{Column, Wanted},
};

/// How the rows of a table become fields.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is asked of the table.
    pub wanted: Wanted,
    /// Columns that nothing is made of.
    pub unused: Vec<String>,
    /// Whether rows are fields already.
    pub is_plain: bool,
    /// Fields that are left out if they do not fit.
    pub droppable: Vec<&'static str>,
    fields: Vec<(&'static str, Type, Get)>,
    objects: Vec<Object>,
}

/// How the members of an object are got.
#[derive(Clone, Debug)]
struct Object {
    field: &'static str,
    /// All that stand in a column.
    whole: Get,
    /// Some, by their names.
    parts: Vec<(String, Get)>,
}

/// How one value is got.
#[derive(Clone, Debug)]
struct Get {
    /// The first that is there.
    columns: Vec<String>,
    rule: Option<Rule>,
}

impl Mapping {
    /// Compares a section with the columns that there are (`None`: each row has its own).
    ///
    /// # Errors
    ///
    /// A column that has to be there is not.
    pub fn plan(&self, kind: Kind, columns: Option<&[Column]>) -> Result<Plan, MappingError> {
        let empty = Section::default();
        let section = self.section(kind).unwrap_or(&empty);
        let known = Columns(columns);
        let mut plan = Plan {
            wanted: Wanted {
                table: self.table(kind),
                ..Wanted::default()
            },
            unused: Vec::new(),
            is_plain: self.is_names && columns.is_none(),
            droppable: Vec::new(),
            fields: Vec::new(),
            objects: Vec::new(),
        };
        let mut used = BTreeSet::new();
        for (field, kind) in fields(kind) {
            let Some(spec) = section.fields.get(*field) else {
                continue;
            };
            let get = known.get(field, spec)?;
            used.extend(get.columns.iter().cloned());
            if get
                .rule
                .as_ref()
                .is_some_and(|rule| rule.unfit == Unfit::Drop)
            {
                plan.droppable.push(field);
            }
            if *field == "id" {
                plan.wanted.key = get.columns.first().cloned();
            }
            plan.fields.push((field, *kind, get));
        }
        for object in known.objects(section, &used)? {
            let parts = object.parts.iter().flat_map(|(_, get)| &get.columns);
            used.extend(parts.chain(&object.whole.columns).cloned());
            plan.objects.push(object);
        }
        let all = columns.unwrap_or_default().iter();
        plan.unused = all
            .filter(|column| !used.contains(&column.name))
            .map(|column| column.name.clone())
            .collect();
        if self.is_names && !plan.unused.is_empty() {
            return Err(MappingError::Unfit(format!(
                "the first line has names that mean nothing here: {}; rename the columns, or give \
                 a mapping",
                plan.unused.join(", ")
            )));
        }
        plan.wanted.columns = used.into_iter().collect();
        Ok(plan)
    }

    /// The table that a kind of row comes from.
    #[must_use]
    pub fn table(&self, kind: Kind) -> String {
        self.section(kind)
            .and_then(|section| section.table.clone())
            .unwrap_or_else(|| kind.as_str().to_owned())
    }
}

impl Members {
    fn named(&self) -> Vec<String> {
        let columns = self.columns.values().flat_map(Names::names);
        self.object.names().into_iter().chain(columns).collect()
    }
}

/// The columns that there are, if that is known.
struct Columns<'a>(Option<&'a [Column]>);

impl Columns<'_> {
    fn get(&self, field: &str, spec: &Spec) -> Result<Get, MappingError> {
        match spec {
            Spec::Column(names) => self.one(field, names),
            Spec::Rule(rule) => {
                let columns = match &rule.column {
                    Some(names) => self.one(field, names)?.columns,
                    None => Vec::new(),
                };
                let rule = Some(rule.clone());
                Ok(Get { columns, rule })
            }
        }
    }

    fn one(&self, field: &str, names: &Names) -> Result<Get, MappingError> {
        let mut columns = names.names();
        if let Some(there) = self.0 {
            columns.retain(|name| there.iter().any(|column| column.name == *name));
            columns.truncate(1);
            if columns.is_empty() && !names.may_be_missing() {
                let there: Vec<_> = there.iter().map(|column| column.name.as_str()).collect();
                return Err(MappingError::Unfit(format!(
                    "{field} comes from the column {}, which is not there; there are: {}",
                    names.names().join(" or "),
                    there.join(", ")
                )));
            }
        }
        Ok(Get {
            columns,
            rule: None,
        })
    }

    /// The two objects of users; `used` are the columns that fields take.
    fn objects(
        &self,
        section: &Section,
        used: &BTreeSet<String>,
    ) -> Result<Vec<Object>, MappingError> {
        let objects = [
            ("metadata", section.metadata.as_ref()),
            ("attributes", section.attributes.as_ref()),
        ];
        let objects = objects
            .into_iter()
            .filter_map(|(field, members)| Some((field, members?)));
        let members = objects.clone().flat_map(|(_, members)| members.named());
        let named = members.chain(used.iter().cloned()).collect();
        objects
            .map(|(field, members)| self.object(field, members, &named))
            .collect()
    }

    fn object(
        &self,
        field: &'static str,
        members: &Members,
        named: &BTreeSet<String>,
    ) -> Result<Object, MappingError> {
        let whole = self.one(field, &members.object)?;
        let mut parts: BTreeMap<String, Get> = BTreeMap::new();
        if members.numbers {
            for column in self.0.unwrap_or_default() {
                if column.is_number && !named.contains(&column.name) {
                    let columns = vec![column.name.clone()];
                    parts.insert(
                        column.name.clone(),
                        Get {
                            columns,
                            rule: None,
                        },
                    );
                }
            }
        }
        for (member, names) in &members.columns {
            parts.insert(member.clone(), self.one(member, names)?);
        }
        Ok(Object {
            field,
            whole,
            parts: parts.into_iter().collect(),
        })
    }
}

impl Rule {
    /// What a text is here; letter case does not count.
    fn lookup(&self, text: &str) -> Option<&Value> {
        let mut values = self.values.iter();
        let found = values.find(|(there, _)| there.to_lowercase() == text);
        found.map(|(_, here)| here)
    }
}

impl Get {
    fn value<'a>(&self, row: &'a Map<String, Value>) -> Option<&'a Value> {
        let found = self.columns.iter().find_map(|name| row.get(name));
        found.filter(|value| !value.is_null())
    }

    fn field(&self, kind: Type, row: &Map<String, Value>) -> Result<Option<Value>, String> {
        let value = self.value(row);
        let Some(rule) = &self.rule else {
            return value.map_or(Ok(None), |value| convert(kind, value));
        };
        if let Some(constant) = &rule.constant {
            return Ok(Some(constant.clone()));
        }
        let text = value.map(|value| plain(value).trim().to_lowercase());
        let text = text.filter(|text| !text.is_empty());
        if rule.present {
            return Ok(Some(text.is_some().into()));
        }
        match (value, text) {
            (Some(value), Some(_)) if rule.values.is_empty() => convert(kind, value),
            (Some(_), Some(text)) => match (rule.lookup(&text), &rule.otherwise) {
                (Some(here), _) | (None, Some(here)) => Ok(Some(here.clone())),
                (None, None) => {
                    let known: Vec<_> = rule.values.keys().map(String::as_str).collect();
                    Err(format!(
                        "the mapping does not say what {text:?} is here; it knows: {}",
                        known.join(", ")
                    ))
                }
            },
            _ => Ok(rule.otherwise.clone()),
        }
    }
}

impl Plan {
    /// The fields that a row becomes.
    ///
    /// # Errors
    ///
    /// A value that cannot be what its field is.
    pub fn apply(&self, row: &Map<String, Value>) -> Result<Map<String, Value>, Fault> {
        let wrong = |field: &str, why: String| ("invalid_field", format!("{field}: {why}"));
        let mut fields = Map::new();
        for (field, kind, get) in &self.fields {
            match get.field(*kind, row) {
                Ok(Some(value)) => {
                    fields.insert((*field).to_owned(), value);
                }
                Ok(None) => {}
                Err(_) if self.droppable.contains(field) => {}
                Err(why) => return Err(wrong(field, why)),
            }
        }
        for Object {
            field,
            whole,
            parts,
        } in &self.objects
        {
            let mut members = match whole.value(row) {
                Some(value) => object(value).map_err(|why| wrong(field, why))?,
                None => Map::new(),
            };
            for (name, get) in parts {
                if let Some(value) = get.value(row) {
                    members.insert(name.clone(), value.clone());
                }
            }
            if !members.is_empty() {
                fields.insert((*field).to_owned(), Value::Object(members));
            }
        }
        Ok(fields)
    }
}
