//! Models that other programs have trained: read into our trees, so that they predict here what they predict there.

mod lightgbm;
mod xgboost;

use thiserror::Error;

use crate::{Rule, Sum, Trees};

/// A model that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// Who wrote it: `LightGBM` or `XGBoost`.
    pub source: &'static str,
    /// The names of its features, in order; `None` where it has none of its own.
    pub features: Option<Vec<String>>,
    /// How many features it takes.
    pub width: usize,
    /// The trees.
    pub trees: Trees,
    /// How their outputs become one number.
    pub sum: Sum,
    /// Whether the prediction is the exponential of that number.
    pub log_link: bool,
}

/// A model that cannot be read.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{0}")]
pub struct ImportError(pub String);

/// The largest tree that is read.
const NODES: usize = 1 << 24;

impl Imported {
    /// Reads the text of a model: LightGBM's own text format, or XGBoost's JSON.
    ///
    /// # Errors
    /// Says what the text has that cannot be read, or cannot be predicted here.
    pub fn parse(text: &str) -> Result<Self, ImportError> {
        let begin = text.trim_start();
        let imported = if begin.starts_with('{') {
            xgboost::parse(text)
        } else if begin.starts_with("tree") {
            lightgbm::parse(text)
        } else {
            Err("is neither a text model of LightGBM (save_model) nor a JSON model of XGBoost (save_model(\"...json\"))"
                .into())
        };
        let imported = imported.map_err(ImportError)?;
        imported.trees.check(imported.width).map_err(ImportError)?;
        Ok(imported)
    }

    /// Whether a feature is asked for as a category.
    pub fn is_categorical(&self, feature: usize) -> bool {
        (0..self.trees.nodes.len()).any(|node| {
            matches!(self.trees.view(node), crate::View::Split { feature: asked, rule: Rule::OneOf(_), .. } if asked == feature)
        })
    }
}

/// A node of a tree that is read.
enum Read {
    Leaf { value: f64 },
    Split { feature: usize, rule: Rule, missing_left: bool, left: usize, right: usize },
}

/// Adds a tree, from its root on; `node` gives a node and its cover by its number in the file.
fn add_tree(trees: &mut Trees, root: usize, node: impl Fn(usize) -> Result<(Read, f64), String>) -> Result<(), String> {
    let first = trees.begin_tree(0.0, 0.0);
    let mut open = vec![(root, first)];
    let mut read = 0;
    while let Some((number, place)) = open.pop() {
        read += 1;
        if read > NODES {
            return Err("a tree goes round in a circle".into());
        }
        let (what, cover) = node(number)?;
        trees.cover[place] = cover;
        match what {
            Read::Leaf { value } => trees.nodes[place].number = value,
            Read::Split { feature, rule, missing_left, left, right } => {
                if feature >= crate::MAX_FEATURES {
                    return Err(format!("there is no feature {feature}"));
                }
                let children = trees.split(place, feature, &rule, missing_left, [(0.0, 0.0); 2]);
                open.push((right, children + 1));
                open.push((left, children));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn golden(name: &str) -> String {
        // read when the test runs: checkouts may share compiled tests
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        std::fs::read_to_string(format!("{folder}/golden/{name}")).unwrap()
    }

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|cell| cell.as_f64().unwrap_or(f64::NAN)).collect()
    }

    /// The greatest difference between what is predicted here and there, relative; and that between contributions.
    fn compare(file: &str) -> (f64, Option<f64>) {
        let imported = Imported::parse(&golden(file)).unwrap();
        assert_eq!(imported.features.as_deref(), Some(&["size", "age", "place", "depth"].map(String::from)[..]));
        let stem = file.rsplit_once('.').unwrap().0;
        let expected: Value = serde_json::from_str(&golden(&format!("{stem}.expected.json"))).unwrap();
        let rows: Vec<Vec<f64>> = expected["x"].as_array().unwrap().iter().map(numbers).collect();
        let columns: Vec<Vec<f64>> = (0..4).map(|column| rows.iter().map(|row| row[column]).collect()).collect();
        let link = |value: f64| if imported.log_link { value.exp() } else { value };
        let found: Vec<f64> = imported.trees.predict(&columns, rows.len(), imported.sum).into_iter().map(link).collect();
        let there = numbers(&expected["predicted"]);
        let worst = found.iter().zip(&there).map(|(a, b)| (a - b).abs() / b.abs()).fold(0.0, f64::max);
        for (row, found) in rows.iter().zip(&found) {
            assert_eq!(link(imported.trees.predict_row(row, imported.sum)).to_bits(), found.to_bits());
        }
        let explained = expected.get("contributions").map(|contributions| {
            imported.trees.check_explicable().unwrap();
            let mean = (imported.trees.expected(imported.sum) - expected["expected"].as_f64().unwrap()).abs();
            let explainer = imported.trees.explainer();
            let theirs = contributions.as_array().unwrap().iter().map(numbers);
            let differences = rows.iter().zip(theirs).flat_map(|(row, theirs)| {
                let mut ours = vec![0.0; row.len()];
                explainer.explain(&imported.trees, row, imported.sum, &mut ours);
                ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).collect::<Vec<f64>>()
            });
            differences.fold(mean, f64::max)
        });
        (worst, explained)
    }

    #[test]
    fn models_predict_here_what_they_predict_there() {
        for file in [
            "lightgbm_regression.txt",
            "lightgbm_numbers.txt",
            "lightgbm_no_missing.txt",
            "lightgbm_gamma.txt",
            "lightgbm_forest.txt",
            "xgboost_squared.json",
            "xgboost_categories.json",
            "xgboost_gamma.json",
            "xgboost_dart.json",
        ] {
            let (worst, _) = compare(file);
            // XGBoost adds in single precision
            assert!(worst < 1e-6, "{file}: {worst}");
        }
    }

    #[test]
    fn contributions_are_those_of_the_shap_package() {
        let (_, explained) = compare("lightgbm_numbers.txt");
        assert!(explained.unwrap() < 1e-9, "{explained:?}");
        // the package takes XGBoost's trees in single precision
        let (_, explained) = compare("xgboost_squared.json");
        assert!(explained.unwrap() < 1e-4, "{explained:?}");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let refusal = |text: &str| Imported::parse(text).unwrap_err().0;
        assert!(refusal("hello").starts_with("is neither a text model of LightGBM"));
        assert_eq!(refusal("{}"), "learner.gradient_booster is missing");
        assert!(refusal("{\"a\": ").starts_with("is not JSON: EOF"));
        let lightgbm = golden("lightgbm_numbers.txt");
        // between two trees
        let cut = &lightgbm[..lightgbm.find("Tree=5").unwrap()];
        assert_eq!(refusal(cut), "is cut off: \"end of trees\" is missing");
        for (from, to, expected) in [
            ("num_class=1", "num_class=3", "has 3 classes; only regression is predicted here"),
            (
                "objective=regression_l1",
                "objective=lambdarank",
                "the objective lambdarank is not a regression that is predicted here",
            ),
            ("left_child=", "left_child=x", "tree 0: left_child: \"x"),
            ("right_child=", "right_child=999 ", "tree 0: "),
            ("is_linear=0", "is_linear=1", "tree 0: has linear functions in its leaves, which are not predicted here"),
        ] {
            let found = refusal(&lightgbm.replacen(from, to, 1));
            assert!(found.starts_with(expected), "{found}");
        }
        let xgboost = golden("xgboost_squared.json");
        for (from, to, expected) in [
            ("reg:squarederror", "multi:softmax", "the objective multi:softmax is not a regression that is predicted here"),
            ("\"name\":\"gbtree\"", "\"name\":\"gblinear\"", "the booster gblinear has no trees"),
            ("\"left_children\":[1", "\"left_children\":[7000", "tree 0: there is no node 7000"),
            ("\"left_children\":[1", "\"left_children\":[0", "a tree goes round in a circle"),
        ] {
            let found = refusal(&xgboost.replacen(from, to, 1));
            assert!(found.contains(expected), "{found}");
        }
    }
}
