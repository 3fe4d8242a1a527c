//! Lists of limited length in stored files. An empty text takes one byte in a file, but 24 in memory.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// Largest number of entries of a list, far above the features or levels of any model.
const MAX_ENTRIES: usize = 1_000_000;

/// Deserializes a list, for `#[serde(deserialize_with = "schema::bounded_list")]`.
///
/// # Errors
/// If the list has more than a million entries, or an invalid one.
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
    struct Document {
        #[serde(deserialize_with = "bounded_list")]
        list: Vec<String>,
    }

    #[test]
    fn the_length_of_a_list_is_limited() {
        let read = |entries: usize| {
            let text = format!("{{\"list\": [{}]}}", vec!["\"\""; entries].join(","));
            serde_json::from_str::<Document>(&text).map(|document| document.list.len()).map_err(|error| error.to_string())
        };
        assert_eq!(read(MAX_ENTRIES), Ok(MAX_ENTRIES));
        assert!(read(MAX_ENTRIES + 1).unwrap_err().starts_with("a list has more than 1000000 entries"));
    }
}
