//! Adapters from a visitor to a seed of serde. Each one names the JSON type that the visitor reads.

use serde::de::{DeserializeSeed, Deserializer, Visitor};

/// Reads an object.
pub(crate) struct MapSeed<V>(pub(crate) V);

/// Reads a list.
pub(crate) struct SeqSeed<V>(pub(crate) V);

/// Reads any value.
pub(crate) struct AnySeed<V>(pub(crate) V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for MapSeed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<V::Value, D::Error> {
        json.deserialize_map(self.0)
    }
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for SeqSeed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<V::Value, D::Error> {
        json.deserialize_seq(self.0)
    }
}

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for AnySeed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<V::Value, D::Error> {
        json.deserialize_any(self.0)
    }
}
