//! What features are computed from: raw columns that are numbers or dates, then derived features, each with its place.

use rustc_hash::FxHashMap;

use crate::expression::{Program, Step};

/// Numeric inputs: raw columns first, then derived ones in the order in which they can be computed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    names: Vec<String>,
    places: FxHashMap<String, usize>,
    /// How many are raw columns.
    raw: usize,
    /// Per derived input its program over the inputs before it.
    programs: Vec<Program>,
    /// Per derived input a bit a raw input: whether it is made of that.
    origins: Vec<Vec<u64>>,
}

impl Inputs {
    /// Raw columns alone.
    pub(crate) fn of_raw(names: impl Iterator<Item = String>) -> Self {
        let names: Vec<String> = names.collect();
        let places = names.iter().cloned().zip(0..).collect();
        Self { raw: names.len(), names, places, ..Self::default() }
    }

    /// Adds a derived feature.
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

    /// All names, by place.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The place of the input called `name`.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// The names of the raw columns.
    pub(crate) fn raw(&self) -> &[String] {
        &self.names[..self.raw]
    }

    /// The programs of the derived inputs, in order.
    pub(crate) fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The program of the input at `place`, if it is derived.
    pub(crate) fn program(&self, place: usize) -> Option<&Program> {
        place.checked_sub(self.raw).map(|derived| &self.programs[derived])
    }

    /// The raw columns that the input at `place` is made of.
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
