//! Tests of the arrays that trees are stored in.

use crate::tree::ensemble::*;

fn stump() -> Trees {
    let mut trees = Trees::default();
    let root = trees.begin_tree(0.0, 3.0);
    trees.split(root, 1, &SplitCondition::AtMost(2.0), false, [(10.0, 1.0), (20.0, 2.0)]);
    trees
}

fn trees_with_sets() -> Trees {
    let mut trees = Trees::default();
    let root = trees.begin_tree(0.0, 3.0);
    let left = trees.split(root, 0, &SplitCondition::OneOf(vec![1, 40]), true, [(1.0, 1.0), (2.0, 2.0)]);
    trees.split(left, 0, &SplitCondition::OneOf(vec![40]), false, [(3.0, 1.0), (4.0, 2.0)]);
    trees
}

fn outputs(trees: &Trees, row: &[f64]) -> Vec<f64> {
    trees.outputs(row).collect()
}

#[test]
fn rows_reach_their_leaves() {
    let mut trees = stump();
    trees.append(&stump());
    assert_eq!(outputs(&trees, &[0.0, 2.0]), [10.0, 10.0]);
    assert_eq!(outputs(&trees, &[0.0, 2.1]), [20.0, 20.0]);
    assert_eq!(outputs(&trees, &[0.0, f64::NAN]), [20.0, 20.0]);
    assert_eq!(trees.validate(2), Ok(()));
    trees.truncate(1);
    assert_eq!(trees, stump());
}

#[test]
fn categories_are_looked_up_in_sets() {
    let mut trees = trees_with_sets();
    trees.append(&trees_with_sets());
    assert_eq!(trees.validate(1), Ok(()));
    for (code, expected) in [(1.0, 4.0), (40.0, 3.0), (2.0, 2.0), (1.5, 2.0), (-1.0, 2.0), (1e9, 2.0), (f64::NAN, 4.0)] {
        assert_eq!(outputs(&trees, &[code]), [expected, expected], "{code}");
    }
    let NodeView::Split { rule, missing_left, .. } = trees.view(0) else { panic!("a split") };
    assert_eq!((rule, missing_left), (SplitCondition::OneOf(vec![1, 40]), true));
}

#[test]
fn invalid_trees_are_rejected() {
    let error_of = |spoil: &dyn Fn(&mut Trees)| {
        let mut trees = stump();
        spoil(&mut trees);
        trees.validate(2).unwrap_err()
    };
    assert_eq!(error_of(&|trees| trees.nodes[0].left = 0), "node 0 has an invalid index");
    assert_eq!(error_of(&|trees| trees.nodes[0].left = 2), "node 0 has an invalid index");
    assert_eq!(error_of(&|trees| trees.nodes[0].feature = 3), "node 0 has an invalid index");
    assert_eq!(error_of(&|trees| trees.nodes[0].number = f64::NAN), "node 0 has an invalid number");
    assert_eq!(error_of(&|trees| trees.nodes[0].feature |= SET_FLAG), "node 0 has an invalid number");
    assert_eq!(error_of(&|trees| trees.nodes[1].left = 2), "node 1 is not a valid leaf");
    assert_eq!(error_of(&|trees| trees.nodes[1].number = f64::INFINITY), "node 1 is not a valid leaf");
    assert_eq!(error_of(&|trees| trees.nodes[1].feature = 0), "node 1 is not a valid leaf");
    assert_eq!(error_of(&|trees| trees.roots.push(3)), "a tree starts at node 3 of 3");
    assert_eq!(error_of(&|trees| trees.roots.push(0)), "the trees are not in order");
    assert_eq!(error_of(&|trees| trees.roots[0] = 1), "the trees are not in order");
    assert_eq!(error_of(&|trees| trees.cover.truncate(1)), "the arrays of the trees differ in length");
    assert_eq!(error_of(&|trees| trees.cover[1] = -1.0), "node 1 has an invalid cover");
    assert_eq!(error_of(&|trees| trees.set_starts = vec![0, 9]), "the category sets are not in order");
}
