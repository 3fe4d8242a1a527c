//! Models that other programs have trained: read into our trees, so that they predict here what they predict there.

pub(crate) mod lightgbm;
pub(crate) mod xgboost;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::tree::{
    ensemble::{Rule, Trees},
    traversal::Sum,
};

/// A model that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// Who wrote it: `LightGBM` or `XGBoost`.
    pub source: &'static str,
    /// The names of its features, in order; `None` where it has none of its own.
    pub features: Option<Vec<String>>,
    /// How many features it takes.
    pub width: usize,
    /// What the codes of each feature stand for that was a category in training.
    pub categories: BTreeMap<usize, CategoryCodes>,
    /// The trees.
    pub trees: Trees,
    /// How their outputs become one number.
    pub sum: Sum,
    /// Whether the prediction is the exponential of that number.
    pub log_link: bool,
}

/// What the codes of a category stand for in a model that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum CategoryCodes {
    /// A code is the place of a category in this list, which the file carries. Each is given by its spellings, at least one: a number may
    /// be written in several ways.
    Listed(Vec<Vec<String>>),
    /// The file has no list: a code is the number that was in the table. These are known to the model, in order.
    Numbers(Vec<u32>),
}

/// A model that cannot be read.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{0}")]
pub struct ImportError(pub String);

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
}

/// How many features a model may have: the table has no more columns.
const MAX_WIDTH: usize = 100_000;

fn check_width(width: usize) -> Result<usize, String> {
    if (1..=MAX_WIDTH).contains(&width) {
        Ok(width)
    } else {
        Err(format!("has {width} features; 1 to {MAX_WIDTH} can be read"))
    }
}

/// A node of a tree that is read.
enum Read {
    Leaf { value: f64 },
    Split { feature: usize, rule: Rule, missing_left: bool, left: usize, right: usize },
}

/// Adds a tree of `nodes` nodes, from its root on, which is node 0; `node` gives a node and its cover by its number in the file. Every node
/// is visited once; returns how many were.
fn add_tree(trees: &mut Trees, nodes: usize, node: impl Fn(usize) -> Result<(Read, f64), String>) -> Result<usize, String> {
    let first = trees.begin_tree(0.0, 0.0);
    let mut visited = vec![false; nodes];
    let mut open = vec![(0, first)];
    let mut read = 0;
    while let Some((number, place)) = open.pop() {
        match visited.get_mut(number) {
            None => return Err(format!("there is no node {number}; it has {nodes}")),
            Some(true) => return Err(format!("node {number} is the child of two nodes, or of itself")),
            Some(visited) => *visited = true,
        }
        read += 1;
        let (what, cover) = node(number)?;
        trees.cover[place] = cover;
        match what {
            Read::Leaf { value } => trees.nodes[place].number = value,
            Read::Split { feature, rule, missing_left, left, right } => {
                if feature >= MAX_WIDTH {
                    return Err(format!("node {number} asks for feature {feature}, which there is not"));
                }
                let children = trees.split(place, feature, &rule, missing_left, [(0.0, 0.0); 2]);
                open.push((right, children + 1));
                open.push((left, children));
            }
        }
    }
    Ok(read)
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

    /// Nodes that share children stand for a tree that doubles with every level.
    #[test]
    fn nodes_that_share_children_are_refused() {
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
        assert_eq!(Imported::parse(&text).unwrap_err().0, expected);
    }

    #[test]
    fn categories_of_pandas_are_read_from_the_file() {
        let text = golden("lightgbm_pandas.txt");
        let imported = Imported::parse(&text).unwrap();
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
                "lists the categories of 1 columns of pandas (pandas_categorical) and has 4 features that are categories: ordered categories \
                 and a categorical_feature of one's own cannot be told apart. Train it with unordered categories alone",
            ),
            (
                "pandas_categorical:[[\"North\"], [1, 2, 3, 5], [false, true], [0.5, 1.0, 2.5]]",
                "feature \"place\" has the code 3, and the list of its categories (pandas_categorical) ends at 0",
            ),
            ("pandas_categorical:[[", "its pandas_categorical cannot be read: "),
            (
                "pandas_categorical:[[null, \"a\", \"b\", \"c\"], [1, 2, 3, 5], [false, true], [0.5, 1.0, 2.5]]",
                "its pandas_categorical holds null, which is no category",
            ),
        ] {
            let found = Imported::parse(&text.replace(list, spoilt)).unwrap_err().0;
            assert!(found.starts_with(expected), "{found}");
        }
        // without a list a code is a number
        let imported = Imported::parse(&text.replace(list, "pandas_categorical:null")).unwrap();
        assert_eq!(imported.categories[&1], CategoryCodes::Numbers(vec![0, 1, 2, 3]));
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
            ("right_child=", "right_child=999 ", "tree 0: its lists differ in length"),
            ("left_child=2", "left_child=999", "tree 0: there is no node 999; it has 7 nodes and 8 leaves"),
            ("left_child=2", "left_child=-99", "tree 0: there is no leaf 98; it has 7 nodes and 8 leaves"),
            ("left_child=2", "left_child=0", "tree 0: node 0 is the child of two nodes, or of itself"),
            ("left_child=2", "left_child=6", "tree 0: node 6 is the child of two nodes, or of itself"),
            ("num_leaves=8", "num_leaves=2147483648", "tree 0: has 8 values for 2147483648 leaves"),
            ("max_feature_idx=3", "max_feature_idx=18446744073709551615", "max_feature_idx: "),
            ("max_feature_idx=3", "max_feature_idx=1000000000", "has 1000000001 features; 1 to 100000 can be read"),
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
            ("\"left_children\":[1", "\"left_children\":[0", "tree 0: node 0 is the child of two nodes, or of itself"),
            ("\"left_children\":[1", "\"left_children\":[2", "tree 0: node 2 is the child of two nodes, or of itself"),
            (
                "\"left_children\":[1",
                "\"left_children\":[-1",
                "nodes are the child of no node, and it says that 0 were deleted",
            ),
            (
                "\"num_class\":\"0\",\"num_feature\":\"4\"",
                "\"num_feature\":\"1e18\"",
                "has 1000000000000000000 features; 1 to 100000 can be read",
            ),
            ("\"num_class\":\"0\",\"num_feature\":\"4\"", "\"num_feature\":\"5\"", "has 4 names for 5 features"),
        ] {
            let found = refusal(&xgboost.replacen(from, to, 1));
            assert!(found.contains(expected), "{found}");
        }
    }
}
