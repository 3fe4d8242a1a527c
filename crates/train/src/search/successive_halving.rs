//! Which trials are measured, and how far: successive halving (Jamieson and Talwalkar, 2016) in rounds of 27, until time or trials are
//! spent.

use std::sync::Mutex;

use cli::Progress;
use model::{Candidate, SearchSection, Trial};
use rayon::prelude::*;

use crate::search::{
    Shard,
    objective::{Course, Measured, TOP, Unmeasured},
    trial_store::{Known, Recorder},
};

/// Of so many trials one goes on to the next rung.
const KEPT: usize = 3;
const ROUND: usize = 27;

/// A trial and how far it came.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) trial: Trial,
    pub(crate) rung: usize,
    pub(crate) measured: Measured,
}

/// Everything that a round needs.
pub(crate) struct Rounds<'a> {
    pub(crate) search: &'a SearchSection,
    pub(crate) candidates: &'a [Candidate],
    pub(crate) course: &'a Course,
    pub(crate) known: &'a Known,
    pub(crate) recorder: &'a Recorder,
    pub(crate) shard: Shard,
    pub(crate) progress: &'a Progress,
    pub(crate) faults: Mutex<Vec<String>>,
}

impl Rounds<'_> {
    /// Runs rounds until the budget is spent; every trial that was measured, as far as it came.
    pub(crate) fn run(&self) -> anyhow::Result<Vec<Entry>> {
        let mut board: Vec<Entry> = Vec::new();
        let own: Vec<usize> = (0..self.search.trials).filter(|number| self.shard.has(*number)).collect();
        let bar = self.progress.bar("searching", own.len() as u64);
        let first = self.course.first_rung(self.search.halving);
        for numbers in own.chunks(ROUND) {
            let trials: Vec<Trial> = numbers
                .iter()
                .map(|number| self.search.trial(*number, self.candidates).map_err(anyhow::Error::msg))
                .collect::<anyhow::Result<_>>()?;
            let mut climbing = trials;
            for rung in first..=TOP {
                let measured: Vec<Option<Entry>> = climbing.par_iter().map(|trial| self.measure(trial, rung)).collect();
                let whole = measured.iter().all(Option::is_some);
                let mut found: Vec<Entry> = measured.into_iter().flatten().collect();
                found
                    .sort_by(|a, b| a.measured.score.total_cmp(&b.measured.score).then(a.trial.number.cmp(&b.trial.number)));
                climbing = found.iter().take(found.len().div_ceil(KEPT)).map(|entry| entry.trial.clone()).collect();
                for entry in found {
                    board.retain(|known| known.trial.number != entry.trial.number);
                    board.push(entry);
                }
                if !whole && self.is_over() {
                    break;
                }
            }
            bar.advance(numbers.len() as u64);
            if self.is_over() {
                break;
            }
        }
        board.sort_by(|a, b| {
            let order = b.rung.cmp(&a.rung).then(a.measured.score.total_cmp(&b.measured.score));
            order.then(a.trial.number.cmp(&b.trial.number))
        });
        Ok(board)
    }

    fn is_over(&self) -> bool {
        std::time::Instant::now() >= self.course.deadline
    }

    /// Measures a trial, or takes what was measured before.
    fn measure(&self, trial: &Trial, rung: usize) -> Option<Entry> {
        let entry = |measured| Some(Entry { trial: trial.clone(), rung, measured });
        if let Some((score, seconds)) = self.known.get(&(trial.number, rung)) {
            return entry(Measured { score: *score, seconds: *seconds, held_out: Vec::new() });
        }
        match self.course.measure(trial, rung, None) {
            Ok(measured) => {
                self.recorder.record(trial, rung, &measured);
                entry(measured)
            }
            Err(Unmeasured::Time) => None,
            Err(Unmeasured::Fault(message)) => {
                if let Ok(mut faults) = self.faults.lock() {
                    faults.push(message);
                }
                None
            }
        }
    }
}
