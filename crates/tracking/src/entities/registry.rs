//! A registry of models: names, versions, aliases, and what was in production when.
//!
//! Every move of an alias is a tag of its own on the registered model, `<alias> <time>`, so that the history is only ever added to
//! and can be read in MLflow's pages. [`alias_history`] reads it, [`previous_version`] says where an alias was before.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::error::TrackingError;

/// The alias of the version that is in use.
pub const CHAMPION: &str = "champion";
/// The alias of the version that would be.
pub const CHALLENGER: &str = "challenger";

/// A place that keeps registered models.
pub trait Registry: std::fmt::Debug {
    /// The registered model called `name`, if there is one.
    ///
    /// # Errors
    /// If the registry cannot be read.
    fn model(&self, name: &str) -> Result<Option<RegisteredModel>, TrackingError>;

    /// All versions of a registered model, the newest first.
    ///
    /// # Errors
    /// If the registry cannot be read.
    fn versions(&self, name: &str) -> Result<Vec<ModelVersion>, TrackingError>;

    /// Lets `alias` lead to `version` from now on.
    ///
    /// # Errors
    /// If the registry cannot be written.
    fn set_alias(&self, name: &str, alias: &str, version: &str) -> Result<(), TrackingError>;

    /// Puts a tag on a registered model.
    ///
    /// # Errors
    /// If the registry cannot be written.
    fn tag_model(&self, name: &str, key: &str, value: &str) -> Result<(), TrackingError>;

    /// Puts a tag on a version.
    ///
    /// # Errors
    /// If the registry cannot be written.
    fn tag_version(&self, name: &str, version: &str, key: &str, value: &str) -> Result<(), TrackingError>;

    /// Fetches one file of a version's model into `to`.
    ///
    /// # Errors
    /// If there is none, or it cannot be read or written.
    fn fetch(&self, version: &ModelVersion, file: &str, to: &Path) -> Result<(), TrackingError>;

    /// A page that shows a registered model, if the registry has pages.
    fn model_page(&self, name: &str) -> Option<String>;
}

/// A registered model.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// Facts on it, the history of aliases among them.
    pub tags: BTreeMap<String, String>,
    /// The version that each alias leads to.
    pub aliases: BTreeMap<String, String>,
}

/// A version of a registered model.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ModelVersion {
    /// The registered model.
    pub name: String,
    /// Its number, as text.
    pub version: String,
    /// When it was registered, milliseconds since 1970-01-01 UTC.
    pub created: i64,
    /// The run that made it.
    pub run_id: Option<String>,
    /// The logged model that it is.
    pub model_id: Option<String>,
    /// Where its files are, as MLflow writes it.
    pub source: String,
    /// What is said of it, in Markdown.
    pub description: String,
    /// Facts on it.
    pub tags: BTreeMap<String, String>,
}

/// A move of an alias.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AliasChange {
    /// When, milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub at: i64,
    /// Where the alias leads since.
    pub version: String,
    /// Where it led before.
    pub from: Option<String>,
    /// Why: `registered`, `promoted`, `rolled back`, with figures where there are any.
    pub why: String,
    /// Who moved it.
    pub by: Option<String>,
}

impl AliasChange {
    /// The first one, to a version that is registered by `user` (empty if that is not known).
    pub(crate) fn registered(at: i64, version: &str, from: Option<String>, user: &str) -> Self {
        let by = Some(user.to_owned()).filter(|user| !user.is_empty());
        Self { at, version: version.to_owned(), from, why: "registered".into(), by }
    }
}

/// The logged model that a version's source names, if it names one.
pub(crate) fn logged_model_of(source: &str) -> Option<String> {
    source.strip_prefix("models:/").filter(|id| id.starts_with("m-")).map(str::to_owned)
}

/// Lets `alias` lead to `version`, and adds to its history.
///
/// # Errors
/// If the registry cannot be written. The history comes last: a move that is noted was made.
pub fn move_alias(registry: &dyn Registry, name: &str, alias: &str, moved: &AliasChange) -> Result<(), TrackingError> {
    registry.set_alias(name, alias, &moved.version)?;
    registry.tag_model(name, &history_key(alias, moved.at), &history_value(moved))
}

/// The tag under which a move is kept. Keys sort by time.
pub(crate) fn history_key(alias: &str, at: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{alias} {}", time.strftime("%Y-%m-%d %H:%M:%S.%3f"))
}

pub(crate) fn history_value(moved: &AliasChange) -> String {
    let from = moved.from.as_ref().map_or(String::new(), |from| format!(", before it {from}"));
    let by = moved.by.as_ref().map_or(String::new(), |by| format!(", by {}", by.replace([',', ':'], " ")));
    format!("version {}{from}{by}: {}", moved.version, moved.why)
}

/// The moves of `alias`, the first first.
pub fn alias_history(model: &RegisteredModel, alias: &str) -> Vec<AliasChange> {
    // a map of tags is in the order of their keys, and those are in the order of time
    model.tags.iter().filter_map(|(key, value)| parse_move(key.strip_prefix(alias)?.strip_prefix(' ')?, value)).collect()
}

fn parse_move(time: &str, value: &str) -> Option<AliasChange> {
    let at = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", time).ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    let (head, why) = value.split_once(": ")?;
    let mut parts = head.split(", ");
    let version = parts.next()?.strip_prefix("version ")?.to_owned();
    let (mut from, mut by) = (None, None);
    for part in parts {
        if let Some(version) = part.strip_prefix("before it ") {
            from = Some(version.to_owned());
        } else if let Some(name) = part.strip_prefix("by ") {
            by = Some(name.to_owned());
        }
    }
    Some(AliasChange { at, version, from, why: why.to_owned(), by })
}

/// The word that begins the reason of a move that was taken back.
pub const ROLLED_BACK: &str = "rolled back";

/// The version that `alias` led to before the one it leads to now: rolling back twice goes back two versions.
pub fn previous_version(model: &RegisteredModel, alias: &str) -> Option<String> {
    let mut stack: Vec<String> = Vec::new();
    for moved in alias_history(model, alias) {
        if moved.why.starts_with(ROLLED_BACK) {
            while stack.last().is_some_and(|top| *top != moved.version) {
                stack.pop();
            }
        } else if let Some(from) = &moved.from
            && stack.last() != Some(from)
        {
            // someone moved it elsewhere
            stack.push(from.clone());
        }
        if stack.last() != Some(&moved.version) {
            stack.push(moved.version);
        }
    }
    let current = model.aliases.get(alias);
    if current.is_some() && stack.last() == current {
        stack.pop();
    }
    stack.pop()
}

/// The version that `alias` led to at a time, milliseconds since 1970-01-01 UTC.
pub fn version_at(model: &RegisteredModel, alias: &str, at: i64) -> Option<AliasChange> {
    alias_history(model, alias).into_iter().take_while(|moved| moved.at <= at).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(known: &[(i64, &str, Option<&str>, &str)], now: &str) -> RegisteredModel {
        let tag = |(at, version, from, why): &(i64, &str, Option<&str>, &str)| {
            let moved = AliasChange {
                at: *at,
                version: (*version).into(),
                from: from.map(str::to_owned),
                why: (*why).into(),
                by: Some("ada".into()),
            };
            (history_key(CHAMPION, *at), history_value(&moved))
        };
        RegisteredModel {
            name: "m".into(),
            tags: known.iter().map(tag).chain([("owner".into(), "x".into())]).collect(),
            aliases: [(CHAMPION.to_owned(), now.to_owned())].into(),
        }
    }

    #[test]
    fn a_move_is_read_as_it_was_written() {
        let model = model(&[(1_795_406_453_200, "3", Some("2"), "promoted: mae 5 against 6, better")], "3");
        assert_eq!(model.tags.keys().next().unwrap(), "champion 2026-11-23 04:00:53.200");
        let expected = AliasChange {
            at: 1_795_406_453_200,
            version: "3".into(),
            from: Some("2".into()),
            why: "promoted: mae 5 against 6, better".into(),
            by: Some("ada".into()),
        };
        assert_eq!(alias_history(&model, CHAMPION), std::slice::from_ref(&expected));
        assert_eq!(alias_history(&model, CHALLENGER), []);
        assert_eq!(version_at(&model, CHAMPION, 1_795_406_453_199), None);
        assert_eq!(version_at(&model, CHAMPION, 1_795_406_453_200), Some(expected));
    }

    #[test]
    fn rolling_back_twice_goes_back_two_versions() {
        let promoted = [(1, "1", None, "promoted"), (2, "2", Some("1"), "promoted"), (3, "4", Some("2"), "promoted")];
        assert_eq!(previous_version(&model(&promoted[..1], "1"), CHAMPION), None);
        assert_eq!(previous_version(&model(&promoted, "4"), CHAMPION).as_deref(), Some("2"));
        let mut moves = promoted.to_vec();
        moves.push((4, "2", Some("4"), "rolled back"));
        assert_eq!(previous_version(&model(&moves, "2"), CHAMPION).as_deref(), Some("1"));
        moves.push((5, "5", Some("2"), "promoted"));
        assert_eq!(previous_version(&model(&moves, "5"), CHAMPION).as_deref(), Some("2"));
        // set by hand in MLflow's pages: the last that was noted is what was before
        assert_eq!(previous_version(&model(&moves, "9"), CHAMPION).as_deref(), Some("5"));
    }
}
