//! Lists in stored files, up to a length: an empty text has one byte in a file and 24 in memory.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// Entries of a list: a million features or levels are more than any model can be fitted with.
const MAX_ENTRIES: usize = 1_000_000;

/// Reads a list, for `#[serde(deserialize_with = "schema::bounded_list")]`.
///
/// # Errors
/// If it has more than a million entries, or one that cannot be read.
pub fn bounded_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "a list of at most {MAX_ENTRIES} entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if list.len() == MAX_ENTRIES {
                    return Err(A::Error::custom(format!("a list has more than {MAX_ENTRIES} entries")));
                }
                list.push(entry);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(List(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Stored {
        #[serde(deserialize_with = "bounded_list")]
        list: Vec<String>,
    }

    #[test]
    fn a_list_ends_somewhere() {
        let read = |entries: usize| {
            let text = format!("{{\"list\": [{}]}}", vec!["\"\""; entries].join(","));
            serde_json::from_str::<Stored>(&text).map(|stored| stored.list.len()).map_err(|error| error.to_string())
        };
        assert_eq!(read(MAX_ENTRIES), Ok(MAX_ENTRIES));
        assert!(read(MAX_ENTRIES + 1).unwrap_err().starts_with("a list has more than 1000000 entries"));
    }
}
