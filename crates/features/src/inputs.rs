//! Numeric inputs of features: raw columns that are numbers or dates, then derived features.

use rustc_hash::FxHashMap;

use crate::expression::{Program, Step};

/// Raw columns, then derived features in their order of computation. An input is identified by its index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    names: Vec<String>,
    places: FxHashMap<String, usize>,
    /// Number of raw columns.
    raw: usize,
    /// Program of each derived input over the inputs before it.
    programs: Vec<Program>,
    /// Raw columns that each derived input depends on, one bit each.
    origins: Vec<Vec<u64>>,
}

impl Inputs {
    /// Inputs with raw columns only.
    pub(crate) fn from_raw_columns(names: impl Iterator<Item = String>) -> Self {
        let names: Vec<String> = names.collect();
        let places = names.iter().cloned().zip(0..).collect();
        Self { raw: names.len(), names, places, ..Self::default() }
    }

    /// Appends a derived feature.
    pub(crate) fn push(&mut self, name: &str, program: Program) {
        let mut origins = vec![0; self.raw.div_ceil(64)];
        for step in program.steps() {
            let Step::Column(place) = *step else { continue };
            match place.checked_sub(self.raw) {
                None => origins[place / 64] |= 1 << (place % 64),
                Some(derived) => {
                    origins.iter_mut().zip(&self.origins[derived]).for_each(|(mine, theirs): (&mut u64, _)| *mine |= theirs);
                }
            }
        }
        self.places.insert(name.to_owned(), self.names.len());
        self.names.push(name.to_owned());
        self.programs.push(program);
        self.origins.push(origins);
    }

    /// Names of all inputs, by index.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Index of the input called `name`.
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Names of the raw columns.
    pub(crate) fn raw(&self) -> &[String] {
        &self.names[..self.raw]
    }

    /// Programs of the derived inputs, in order.
    pub(crate) fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// Program of input `place`, if it is derived.
    pub(crate) fn program(&self, place: usize) -> Option<&Program> {
        place.checked_sub(self.raw).map(|derived| &self.programs[derived])
    }

    /// Names of the raw columns that input `place` depends on.
    pub(crate) fn origins(&self, place: usize) -> Vec<&str> {
        match place.checked_sub(self.raw) {
            None => vec![self.names[place].as_str()],
            Some(derived) => {
                let bits = &self.origins[derived];
                (0..self.raw)
                    .filter(|raw| bits[raw / 64] >> (raw % 64) & 1 == 1)
                    .map(|raw| self.names[raw].as_str())
                    .collect()
            }
        }
    }
}
