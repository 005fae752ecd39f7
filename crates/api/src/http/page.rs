//! Lists: `limit`, `cursor` and `order`, and the page that comes back.
//!
//! Pages are cut by the key of the last item (keyset), so they are stable
//! while items are added, and the thousandth costs what the first does.

use std::marker::PhantomData;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// The query of every list. Lists with filters have the same fields and more.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// Items a page has at most.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// `next_cursor` of the page before.
    #[param(max_length = 200)]
    pub cursor: Option<String>,
    /// Oldest first (`created_at`) or newest first (`-created_at`, the default).
    #[serde(default)]
    #[param(inline)]
    pub order: Order,
}

/// The query of a list of things with names.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct NamedPaging {
    /// Items a page has at most.
    #[serde(default)]
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200, default = 50)]
    pub limit: Limit,
    /// `next_cursor` of the page before.
    #[param(max_length = 200)]
    pub cursor: Option<String>,
    /// Oldest first (`created_at`) or newest first (`-created_at`, the default).
    #[serde(default)]
    #[param(inline)]
    pub order: Order,
    /// How the name begins, whatever the letter case.
    #[param(max_length = 80)]
    pub q: Option<String>,
}

impl NamedPaging {
    /// The part that every list has.
    pub fn paging(&self) -> Paging {
        Paging {
            limit: self.limit,
            cursor: self.cursor.clone(),
            order: self.order,
        }
    }
}

/// Items a page has at most: 1 to 200, 50 if not said.
#[derive(Clone, Copy, Debug)]
pub struct Limit(u64);

impl Limit {
    /// As many as a page can have.
    pub const MOST: Self = Self(200);

    /// As a number of items.
    pub fn items(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .ok()
            .filter(|limit| (1..=200).contains(limit))
            .map(Self)
            .ok_or_else(|| de::Error::custom("limit must be a number from 1 to 200"))
    }
}

/// By age; ids are of version 7, so their order is that of creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum Order {
    /// Oldest first.
    #[serde(rename = "created_at")]
    Oldest,
    /// Newest first.
    #[default]
    #[serde(rename = "-created_at")]
    Newest,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the order asked for.
    pub items: Vec<T>,
    /// To be sent as `cursor` for the next page; `null` on the last one.
    pub next_cursor: Option<String>,
}

/// Where a page begins, for a query.
pub struct Cut<T> {
    /// Newest or oldest first.
    pub order: Order,
    /// Items after this id, in the order.
    pub after: Option<Uuid>,
    limit: u64,
    items: PhantomData<T>,
}

impl Paging {
    /// Reads the cursor.
    ///
    /// # Errors
    ///
    /// `400 invalid_cursor` for anything but the `next_cursor` of a page in this order.
    pub fn cut<T>(&self) -> Result<Cut<T>, Problem> {
        let after = match &self.cursor {
            None => None,
            Some(text) => {
                Some(decode(text, self.order).ok_or_else(|| Problem::plain(Code::InvalidCursor))?)
            }
        };
        Ok(Cut {
            order: self.order,
            after,
            limit: self.limit.0,
            items: PhantomData,
        })
    }
}

impl<T> Cut<T> {
    /// Cuts `query`, whose key is `id`, to what [`Self::page`] takes.
    pub fn apply<E: EntityTrait>(&self, query: Select<E>, id: impl ColumnTrait) -> Select<E> {
        let query = query.limit(self.fetch());
        let (query, after) = match self.order {
            Order::Newest => (
                query.order_by_desc(id),
                self.after.map(|after| id.lt(after)),
            ),
            Order::Oldest => (query.order_by_asc(id), self.after.map(|after| id.gt(after))),
        };
        match after {
            Some(after) => query.filter(after),
            None => query,
        }
    }

    /// Rows to ask for: one more than the page has, which tells whether another follows.
    pub fn fetch(&self) -> u64 {
        self.limit + 1
    }

    /// Cuts the page out of what [`Self::fetch`] brought.
    pub fn page<U>(
        &self,
        mut rows: Vec<T>,
        id: impl Fn(&T) -> Uuid,
        view: impl Fn(T) -> U,
    ) -> Page<U> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = more
            .then(|| rows.last().map(|row| encode(id(row), self.order)))
            .flatten();
        Page {
            items: rows.into_iter().map(view).collect(),
            next_cursor,
        }
    }
}

fn encode(id: Uuid, order: Order) -> String {
    let mut bytes = vec![u8::from(order == Order::Newest)];
    bytes.extend_from_slice(id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str, order: Order) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (kind, id) = bytes.split_first()?;
    (*kind == u8::from(order == Order::Newest)).then_some(())?;
    Uuid::from_slice(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_the_rest_and_nothing_else_does() {
        let ids: Vec<_> = (0..3).map(|_| Uuid::now_v7()).collect();
        let paging = Paging {
            limit: Limit(2),
            ..Paging::default()
        };
        let cut = paging.cut::<Uuid>().unwrap();
        let page = cut.page(ids.clone(), |id| *id, |id| id);
        assert_eq!(page.items, ids[..2]);
        let cursor = page.next_cursor.unwrap();
        assert_eq!(decode(&cursor, Order::Newest), Some(ids[1]));
        assert_eq!(decode(&cursor, Order::Oldest), None);
        for wrong in ["", "x", "!!!!", &cursor[1..]] {
            assert_eq!(decode(wrong, Order::Newest), None);
        }
    }
}
