//! Import of models that LightGBM or XGBoost trained, with identical predictions.

pub(crate) mod lightgbm;
pub(crate) mod xgboost;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::tree::{
    ensemble::{SplitCondition, Trees},
    traversal::EnsembleOutput,
};

/// A model of another program.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedModel {
    /// The program that wrote it:
    pub source: &'static str,
    /// Feature names in order; `None` if the file has none.
    pub features: Option<Vec<String>>,
    /// The number of features.
    pub width: usize,
    /// Meaning of the codes of each categorical feature.
    pub categories: BTreeMap<usize, CategoryCodes>,
    /// The trees.
    pub trees: Trees,
    /// Conversion of their outputs to one number.
    pub sum: EnsembleOutput,
    /// True if the prediction is the exponential of that number.
    pub log_link: bool,
}

/// Meaning of the codes of a categorical feature.
#[derive(Clone, Debug, PartialEq)]
pub enum CategoryCodes {
    /// A code is an index into this list from the file. Each category has one or more spellings, because a number can be written in several
    /// ways.
    Listed(Vec<Vec<String>>),
    /// The file has no list: a code is the number in the table. These codes occur in the model, in ascending order.
    Numbers(Vec<u32>),
}

/// A model that cannot be read.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{0}")]
pub struct ImportError(pub String);

impl ImportedModel {
    /// Reads the text of a model: LightGBM's own text format, or XGBoost's JSON.
    ///
    /// ```
    /// use boosting::ImportedModel;
    ///
    /// let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/lightgbm_numbers.txt"));
    /// let imported = ImportedModel::parse(text)?;
    /// assert_eq!(imported.source, "LightGBM");
    /// let row = vec![0.5; imported.width];
    /// assert!(imported.trees.predict_row(&row, imported.sum).is_finite());
    ///
    /// let error = ImportedModel::parse("a model").unwrap_err();
    /// assert!(error.to_string().starts_with("is neither a text model of LightGBM"));
    /// # Ok::<(), boosting::ImportError>(())
    /// ```
    ///
    /// # Errors
    /// If the text is not such a model, or the model cannot be predicted exactly.
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
        imported.trees.validate(imported.width).map_err(ImportError)?;
        Ok(imported)
    }
}

/// Largest number of features of an imported model; tables have no more columns.
const MAX_IMPORTED_FEATURES: usize = 100_000;

fn check_width(width: usize) -> Result<usize, String> {
    if (1..=MAX_IMPORTED_FEATURES).contains(&width) {
        Ok(width)
    } else {
        Err(format!("has {width} features; it must have 1 to {MAX_IMPORTED_FEATURES}"))
    }
}

/// A node of an imported tree.
enum ParsedNode {
    Leaf { value: f64 },
    Split { feature: usize, rule: SplitCondition, missing_left: bool, left: usize, right: usize },
}

/// Adds a tree of `nodes` nodes, starting with its root (node 0). `node` returns a node and its cover by its number in the file. Each node
/// is visited once; the result is the number of visited nodes.
fn add_tree(
    trees: &mut Trees,
    nodes: usize,
    node: impl Fn(usize) -> Result<(ParsedNode, f64), String>,
) -> Result<usize, String> {
    let first = trees.begin_tree(0.0, 0.0);
    let mut visited = vec![false; nodes];
    let mut pending = vec![(0, first)];
    let mut visited_count = 0;
    while let Some((number, place)) = pending.pop() {
        match visited.get_mut(number) {
            None => return Err(format!("node {number} does not exist; the tree has {nodes} nodes")),
            Some(true) => return Err(format!("node {number} is the child of two nodes, or of itself")),
            Some(visited) => *visited = true,
        }
        visited_count += 1;
        let (parsed, cover) = node(number)?;
        trees.cover[place] = cover;
        match parsed {
            ParsedNode::Leaf { value } => trees.nodes[place].number = value,
            ParsedNode::Split { feature, rule, missing_left, left, right } => {
                if feature >= MAX_IMPORTED_FEATURES {
                    return Err(format!("node {number} uses feature {feature}, which does not exist"));
                }
                let children = trees.split(place, feature, &rule, missing_left, [(0.0, 0.0); 2]);
                pending.push((right, children + 1));
                pending.push((left, children));
            }
        }
    }
    Ok(visited_count)
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

    /// The largest relative difference between predictions here and in the other program; and that of contributions.
    fn compare(file: &str) -> (f64, Option<f64>) {
        let imported = ImportedModel::parse(&golden(file)).unwrap();
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
            imported.trees.check_explainable().unwrap();
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
    fn predictions_equal_those_of_the_other_program() {
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
    fn contributions_equal_those_of_the_shap_package() {
        let (_, explained) = compare("lightgbm_numbers.txt");
        assert!(explained.unwrap() < 1e-9, "{explained:?}");
        // the package takes XGBoost's trees in single precision
        let (_, explained) = compare("xgboost_squared.json");
        assert!(explained.unwrap() < 1e-4, "{explained:?}");
    }

    /// A tree whose nodes share children would double with each level.
    #[test]
    fn nodes_that_share_children_are_rejected() {
        let splits = 40;
        let list = |cell: &dyn Fn(usize) -> String, count: usize| (0..count).map(cell).collect::<Vec<_>>().join(" ");
        // both children of a split are the next split; the last one has leaves
        let child = |side: usize| {
            move |node: usize| if node + 1 < splits { format!("{}", node + 1) } else { format!("-{}", side + 1) }
        };
        let zeros = |count: usize| list(&|_| "0".into(), count);
        let text = format!(
            "tree\nversion=v4\nnum_class=1\nmax_feature_idx=0\nobjective=regression\nfeature_names=a\nfeature_infos=[0:1]\n\nTree=0\n\
             num_leaves={}\nnum_cat=0\nsplit_feature={}\nthreshold={}\ndecision_type={}\nleft_child={}\nright_child={}\n\
             leaf_value={}\nleaf_count={}\ninternal_count={}\nis_linear=0\n\nend of trees\n",
            splits + 1,
            zeros(splits),
            zeros(splits),
            zeros(splits),
            list(&child(0), splits),
            list(&child(1), splits),
            zeros(splits + 1),
            zeros(splits + 1),
            zeros(splits),
        );
        let expected = format!("tree 0: node {} is the child of two nodes, or of itself", splits - 1);
        assert_eq!(ImportedModel::parse(&text).unwrap_err().0, expected);
    }

    #[test]
    fn categories_of_pandas_are_read_from_the_file() {
        let text = golden("lightgbm_pandas.txt");
        let imported = ImportedModel::parse(&text).unwrap();
        let shown: Vec<(usize, String)> = imported
            .categories
            .iter()
            .map(|(feature, codes)| match codes {
                CategoryCodes::Listed(list) => {
                    (*feature, list.iter().map(|spellings| spellings.join("|")).collect::<Vec<_>>().join(","))
                }
                CategoryCodes::Numbers(_) => (*feature, "numbers".into()),
            })
            .collect();
        let expected =
            [(1, "North,South,West,old town"), (2, "1|1.0,2|2.0,3|3.0,5|5.0"), (3, "False|0,True|1"), (4, "0.5,1.0|1,2.5")];
        assert_eq!(shown, expected.map(|(feature, text)| (feature, text.to_owned())));
        let list = text.lines().find(|line| line.starts_with("pandas_categorical:")).unwrap();
        for (spoilt, expected) in [
            (
                "pandas_categorical:[[\"North\"]]",
                "lists the categories of 1 columns of pandas (pandas_categorical) and has 4 features that are categories: ordered \
                 categories and an explicit categorical_feature are not supported. Train it with unordered categories only",
            ),
            (
                "pandas_categorical:[[\"North\"], [1, 2, 3, 5], [false, true], [0.5, 1.0, 2.5]]",
                "feature \"place\" has the code 3, but the list of its categories (pandas_categorical) ends at 0",
            ),
            ("pandas_categorical:[[", "its pandas_categorical cannot be read: "),
            (
                "pandas_categorical:[[null, \"a\", \"b\", \"c\"], [1, 2, 3, 5], [false, true], [0.5, 1.0, 2.5]]",
                "its pandas_categorical holds null, which is not a category",
            ),
        ] {
            let found = ImportedModel::parse(&text.replace(list, spoilt)).unwrap_err().0;
            assert!(found.starts_with(expected), "{found}");
        }
        // without a list, a code is a number
        let imported = ImportedModel::parse(&text.replace(list, "pandas_categorical:null")).unwrap();
        assert_eq!(imported.categories[&1], CategoryCodes::Numbers(vec![0, 1, 2, 3]));
    }

    #[test]
    fn unreadable_models_are_an_error() {
        let error_of = |text: &str| ImportedModel::parse(text).unwrap_err().0;
        assert!(error_of("hello").starts_with("is neither a text model of LightGBM"));
        assert_eq!(error_of("{}"), "learner.gradient_booster is missing");
        assert!(error_of("{\"a\": ").starts_with("is not JSON: EOF"));
        let lightgbm = golden("lightgbm_numbers.txt");
        // between two trees
        let cut = &lightgbm[..lightgbm.find("Tree=5").unwrap()];
        assert_eq!(error_of(cut), "is cut off: \"end of trees\" is missing");
        for (from, to, expected) in [
            ("num_class=1", "num_class=3", "has 3 classes; only regression is supported"),
            (
                "objective=regression_l1",
                "objective=lambdarank",
                "the objective lambdarank is not a supported regression objective",
            ),
            ("left_child=", "left_child=x", "tree 0: left_child: \"x"),
            ("right_child=", "right_child=999 ", "tree 0: its lists differ in length"),
            ("left_child=2", "left_child=999", "tree 0: node 999 does not exist; the tree has 7 nodes and 8 leaves"),
            ("left_child=2", "left_child=-99", "tree 0: leaf 98 does not exist; the tree has 7 nodes and 8 leaves"),
            ("left_child=2", "left_child=0", "tree 0: node 0 is the child of two nodes, or of itself"),
            ("left_child=2", "left_child=6", "tree 0: node 6 is the child of two nodes, or of itself"),
            ("num_leaves=8", "num_leaves=2147483648", "tree 0: has 8 values for 2147483648 leaves"),
            ("max_feature_idx=3", "max_feature_idx=18446744073709551615", "max_feature_idx: "),
            ("max_feature_idx=3", "max_feature_idx=1000000000", "has 1000000001 features; it must have 1 to 100000"),
            ("is_linear=0", "is_linear=1", "tree 0: has linear functions in its leaves, which are not supported"),
        ] {
            let found = error_of(&lightgbm.replacen(from, to, 1));
            assert!(found.starts_with(expected), "{found}");
        }
        let xgboost = golden("xgboost_squared.json");
        for (from, to, expected) in [
            ("reg:squarederror", "multi:softmax", "the objective multi:softmax is not a supported regression objective"),
            ("\"name\":\"gbtree\"", "\"name\":\"gblinear\"", "the booster gblinear has no trees"),
            ("\"left_children\":[1", "\"left_children\":[7000", "tree 0: node 7000 does not exist"),
            ("\"left_children\":[1", "\"left_children\":[0", "tree 0: node 0 is the child of two nodes, or of itself"),
            ("\"left_children\":[1", "\"left_children\":[2", "tree 0: node 2 is the child of two nodes, or of itself"),
            ("\"left_children\":[1", "\"left_children\":[-1", "nodes have no parent, but the file says that 0 were deleted"),
            (
                "\"num_class\":\"0\",\"num_feature\":\"4\"",
                "\"num_feature\":\"1e18\"",
                "has 1000000000000000000 features; it must have 1 to 100000",
            ),
            ("\"num_class\":\"0\",\"num_feature\":\"4\"", "\"num_feature\":\"5\"", "has 4 names for 5 features"),
        ] {
            let found = error_of(&xgboost.replacen(from, to, 1));
            assert!(found.contains(expected), "{found}");
        }
    }
}
