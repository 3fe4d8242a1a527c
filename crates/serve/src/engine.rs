//! A model ready to answer: everything that can be worked out before a request comes.

use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use drift::{Layout, Reference, Window};
use features::Cell;
use model::{Explainer, Matrix};
use predictor::{Prediction, Predictor, Workbench};
use serde_json::Value;

use crate::{
    fault::FaultDetail,
    fields::{Fields, Given},
    source::{About, Found, Source},
};

/// A model that takes longer than this for a row does not answer on the threads that serve connections.
const QUICK: Duration = Duration::from_micros(500);

/// A model, what is known of it, and the last rows that it saw.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) predictor: Predictor,
    /// What takes predictions apart; or why they cannot be.
    pub(crate) explainer: Result<Explainer, String>,
    pub(crate) fields: Fields,
    pub(crate) reference: Option<Reference>,
    pub(crate) about: About,
    pub(crate) loaded_at_ms: u64,
    /// Whether a row is predicted and explained in less than [`QUICK`].
    pub(crate) quick: bool,
    /// The fixed parts of answers.
    pub(crate) keys: Keys,
    drift: Option<(Layout, Mutex<Window>)>,
}

/// Keys of an answer as JSON text.
#[derive(Debug)]
pub(crate) struct Keys {
    /// `{"predicted_price":`
    pub(crate) prediction: String,
    /// `"sqft":` a column that predictions are taken apart by.
    pub(crate) explained: Vec<String>,
    /// The version as a JSON string.
    pub(crate) version: String,
}

/// How far the last rows are from those of training.
pub(crate) struct Drift {
    pub(crate) rows: u64,
    /// The index of each column, known from [`drift::MIN_ROWS`] rows on.
    pub(crate) columns: Vec<(String, Option<f64>)>,
    pub(crate) prediction: Option<f64>,
}

impl Engine {
    /// Loads a model and lets it predict a typical row, alone and in a table.
    ///
    /// # Errors
    /// If it is not there, not sound, or does not predict.
    pub(crate) fn load(source: &Source, window: u64, coverage: Option<f64>) -> anyhow::Result<Self> {
        Self::new(source.load()?, window, coverage).with_context(|| source.to_string())
    }

    fn new(found: Found, window: u64, coverage: Option<f64>) -> anyhow::Result<Self> {
        let Found { predictor, reference, mut about } = found;
        about.coverage = coverage.unwrap_or(about.coverage);
        let fields = Fields::new(&predictor, reference.as_ref());
        let quoted = |text: &str| Value::from(text).to_string();
        let target = &predictor.model().file().target;
        let keys = Keys {
            prediction: format!("{{{}:", quoted(&format!("predicted_{target}"))),
            explained: predictor.explained().iter().map(|name| format!("{}:", quoted(name))).collect(),
            version: quoted(&about.version),
        };
        let layout = reference.as_ref().map(Layout::new);
        let drift = layout.map(|layout| {
            let window = Window::new(&layout, window);
            (layout, Mutex::new(window))
        });
        let explainer = predictor.explainer();
        let mut engine =
            Self { predictor, explainer, fields, reference, about, loaded_at_ms: cli::now_ms(), quick: true, keys, drift };
        engine.canary()?;
        // the second time nothing is cold
        let started = Instant::now();
        engine.canary()?;
        engine.quick = started.elapsed() < QUICK;
        Ok(engine)
    }

    /// The model's name.
    pub(crate) fn name(&self) -> &str {
        &self.predictor.model().file().name
    }

    /// The column that it predicts.
    pub(crate) fn target(&self) -> &str {
        &self.predictor.model().file().target
    }

    /// A typical row: a value a field.
    pub(crate) fn typical(&self) -> Vec<Given<'_>> {
        let given = |value: &Value| match value {
            Value::Number(number) => Given::Number(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Given::Text(Cow::Owned(text.clone())),
            _ => Given::Null,
        };
        self.fields.fields.iter().map(|field| given(&field.typical)).collect()
    }

    /// Predicts a typical row and takes the prediction apart.
    ///
    /// # Errors
    /// If that goes wrong.
    pub(crate) fn canary(&self) -> anyhow::Result<Prediction> {
        let given = self.typical();
        let mut faults = Vec::new();
        let cells = self.fields.judge(&given, &self.predictor, FaultDetail::Whole, &mut faults);
        ensure!(faults.is_empty(), "a typical row breaks the schema: {}", faults[0].text());
        let mut bench = Workbench::default();
        let prediction = self.predictor.predict_row(&cells, self.about.coverage, &mut bench)?;
        ensure!(prediction.value.is_finite(), "a typical row is predicted as {}", prediction.value);
        if let Ok(explainer) = &self.explainer {
            let (same, parts) = self.predictor.explain_row(explainer, &cells, self.about.coverage, &mut bench)?;
            ensure!(same == prediction, "a typical row is predicted as {prediction:?} and as {same:?}");
            let sum = parts.sum();
            let near = (sum - prediction.value).abs() <= 1e-6 * prediction.value.abs().max(1.0);
            ensure!(near, "the parts of a prediction add up to {sum}, not to {}", prediction.value);
        }
        Ok(prediction)
    }

    /// What is predicted for a typical row.
    pub(crate) fn canary_value(&self) -> Value {
        self.canary().map_or(Value::Null, |prediction| Value::from(prediction.value))
    }

    /// Predicts many rows of cells at once, with their intervals if they are wanted.
    pub(crate) fn predict_many(&self, rows: &[Vec<Cell>], intervals: bool) -> Vec<Prediction> {
        let mut bench = Workbench::default();
        let width = self.predictor.model().file().features.len();
        let mut columns = vec![Vec::with_capacity(rows.len()); width];
        let mut refused = vec![false; rows.len()];
        for (row, cells) in rows.iter().enumerate() {
            // a level slipped through: the row has no prediction
            refused[row] = self.predictor.features_of_row(cells, &mut bench).is_err();
            if refused[row] {
                columns.iter_mut().for_each(|column| column.push(0.0));
            } else {
                columns.iter_mut().zip(bench.features()).for_each(|(column, value)| column.push(*value));
            }
        }
        let features = Matrix::new(columns);
        let model = self.predictor.model();
        let values = match &self.explainer {
            Ok(explainer) => explainer.predict(model, &features),
            Err(_) => model.predict(&features),
        };
        let interval = model.file().interval.as_ref().filter(|_| intervals);
        let bounds = interval.map(|interval| interval.bounds(&features, &values, self.about.coverage));
        let prediction = |(row, value): (usize, f64)| Prediction {
            value: if refused[row] { f64::NAN } else { value },
            interval: bounds.as_ref().map(|bounds| bounds[row]),
        };
        values.into_iter().enumerate().map(prediction).collect()
    }

    /// Counts a row and its prediction among the last ones.
    pub(crate) fn count(&self, cells: &[Cell], prediction: f64) {
        let Some((layout, window)) = &self.drift else { return };
        let mut bins = Vec::with_capacity(cells.len() + 1);
        self.fields.bins(cells, layout, &mut bins);
        bins.extend(layout.prediction_bin(prediction));
        window.lock().unwrap_or_else(PoisonError::into_inner).add(&bins);
    }

    /// Counts rows and their predictions among the last ones; those without a prediction are left out.
    pub(crate) fn count_many<'a>(&self, rows: impl Iterator<Item = (&'a [Cell<'a>], f64)>) {
        let Some((layout, window)) = &self.drift else { return };
        let (mut bins, mut ends) = (Vec::new(), Vec::new());
        for (cells, prediction) in rows {
            self.fields.bins(cells, layout, &mut bins);
            bins.extend(layout.prediction_bin(prediction));
            ends.push(bins.len());
        }
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = 0;
        for end in ends {
            window.add(&bins[start..end]);
            start = end;
        }
    }

    /// How far the last rows are from those of training, if that is known.
    pub(crate) fn drift(&self) -> Option<Drift> {
        let (layout, window) = self.drift.as_ref()?;
        let window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.reference.iter().flat_map(|reference| &reference.columns).map(|column| column.name.clone());
        Some(Drift {
            rows: window.rows(),
            columns: names.zip(window.columns(layout)).collect(),
            prediction: window.prediction(layout),
        })
    }
}
