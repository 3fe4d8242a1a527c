//! Puts a model that was trained elsewhere in its place: its features are those of the table, its categories the levels.

use std::collections::{BTreeMap, HashMap};

use boosting::{CategoryCodes, ImportedModel};

/// How many features or levels a message shows.
const SHOWN: usize = 10;

/// The model with its features at the places that they have among `features`, and its categories at those of the levels. Per feature
/// `levels` are those of a category that is one feature, in the order of its places; `None` for any other feature.
///
/// Returns what was taken for granted, too: features that are matched by position, codes that are taken for numbers.
///
/// # Errors
/// Names a feature that is not in the table or is no category there, and a category that is not a level.
pub fn place_imported(
    imported: &ImportedModel,
    features: &[String],
    levels: &[Option<&[String]>],
) -> Result<(ImportedModel, Vec<String>), String> {
    let mut notes = Vec::new();
    let mut moved = imported.clone();
    let order = match &imported.features {
        None => by_position(imported, features, &mut notes)?,
        Some(names) => by_name(imported, names, features)?,
    };
    let mut codes = BTreeMap::new();
    for feature in imported.trees.categories_used() {
        let (name, levels) = (&features[order[feature]], levels.get(order[feature]).copied().flatten());
        let source = imported.source;
        let Some(levels) = levels else {
            return Err(format!(
                "the {source} model takes \"{name}\" for a category: set engineer.encode.columns.{name}: native"
            ));
        };
        let found = match imported.categories.get(&feature) {
            Some(CategoryCodes::Listed(list)) => {
                if list.iter().flatten().all(|spelling| spelling.parse::<f64>().is_ok()) {
                    notes.push(format!(
                        "the {source} model lists categories of pandas without their columns: the list of \"{name}\" is taken from \
                         the order of the columns. A numeric column that was a category in pandas would be read as its numbers"
                    ));
                }
                listed(list, levels)
            }
            Some(CategoryCodes::Numbers(numbers)) => {
                notes.push(format!(
                    "the {source} model has no list of the categories of \"{name}\": its codes are taken for the numbers that the levels are"
                ));
                numbered(numbers, levels)
            }
            None => Err("has no codes".to_owned()),
        };
        let found = found.map_err(|message| format!("the {source} model: category \"{name}\": {message}"))?;
        codes.insert(feature, found);
    }
    moved.trees.remap_codes(&codes)?;
    moved.trees.remap_features(&order)?;
    moved.width = features.len();
    moved.features = Some(features.to_vec());
    Ok((moved, notes))
}

/// The features in the order of the table.
fn by_position(imported: &ImportedModel, features: &[String], notes: &mut Vec<String>) -> Result<Vec<usize>, String> {
    let (source, width) = (imported.source, imported.width);
    if width != features.len() {
        return Err(format!(
            "the {source} model has no names for its {width} features, and the table has {}: train it with names",
            features.len()
        ));
    }
    let shown: Vec<String> =
        features.iter().take(SHOWN).enumerate().map(|(place, name)| format!("{place} is {name}")).collect();
    let more = if width > SHOWN { format!(" and {} more", width - SHOWN) } else { String::new() };
    notes.push(format!(
        "the {source} model has no names for its features: they are matched by position ({}{more}). Train it with names to be sure",
        shown.join(", ")
    ));
    Ok((0..width).collect())
}

/// The features by their names; LightGBM writes an underscore for a blank.
fn by_name(imported: &ImportedModel, names: &[String], features: &[String]) -> Result<Vec<usize>, String> {
    let source = imported.source;
    let exact: HashMap<&str, usize> = features.iter().map(String::as_str).zip(0..).collect();
    let mut underscored: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, feature) in features.iter().enumerate().filter(|(_, feature)| feature.contains(char::is_whitespace)) {
        underscored.entry(feature.replace(char::is_whitespace, "_")).or_default().push(place);
    }
    let mut order = vec![0; imported.width];
    for feature in imported.trees.features_used() {
        let name = names.get(feature).ok_or_else(|| format!("the {source} model has no name for feature {feature}"))?;
        let place = match (exact.get(name.as_str()), underscored.get(name).map(Vec::as_slice)) {
            (Some(place), None) | (None, Some([place])) => Ok(*place),
            (None, None) => {
                let near = schema::nearest(name, features.iter().map(String::as_str));
                let hint = near.map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
                Err(format!(
                    "the {source} model asks for the feature {}, which is not in the table{hint}",
                    schema::quoted(name)
                ))
            }
            _ => Err(format!(
                "the {source} model asks for the feature \"{name}\", which several of the table could be: blanks are written as underscores \
                 there. Rename one"
            )),
        };
        order[feature] = place?;
    }
    Ok(order)
}

/// The place of the level of each code, where the file lists what codes stand for.
fn listed(list: &[Vec<String>], levels: &[String]) -> Result<HashMap<u32, u32>, String> {
    let exact: HashMap<&str, u32> = levels.iter().map(String::as_str).zip(0..).collect();
    let folded: HashMap<String, u32> = levels.iter().map(|level| fold(level)).zip(0..).collect();
    let mut places = HashMap::new();
    let mut codes: HashMap<u32, u32> = HashMap::new();
    for (spellings, code) in list.iter().zip(0..) {
        let place = spellings.iter().find_map(|spelling| exact.get(spelling.as_str()));
        let place = place.or_else(|| spellings.iter().find_map(|spelling| folded.get(&fold(spelling))));
        let category = schema::quoted(spellings.first().map_or("", String::as_str));
        let Some(place) = place.copied() else {
            return Err(format!("it knows {category}, which is none of the levels {}; add it to the levels", shown(levels)));
        };
        if places.insert(code, place).is_some() || codes.insert(place, code).is_some() {
            return Err(format!(
                "{category} and another of its categories are the level \"{}\" here",
                levels[place as usize]
            ));
        }
    }
    Ok(places)
}

/// The place of the level of each code, where codes are numbers.
fn numbered(numbers: &[u32], levels: &[String]) -> Result<HashMap<u32, u32>, String> {
    let mut known: Vec<(f64, u32)> = Vec::new();
    for (level, place) in levels.iter().zip(0..) {
        known.extend(level.trim().parse::<f64>().ok().map(|number| (number, place)));
    }
    let known: HashMap<u64, u32> = known.into_iter().map(|(number, place)| (number.to_bits(), place)).collect();
    let place = |number: &u32| {
        let place = known.get(&f64::from(*number).to_bits()).copied();
        place.map(|place| (*number, place)).ok_or_else(|| {
            format!(
                "it was trained on codes and has no list of what they stand for, and the code {number} is none of the levels {}. Train it \
                 with LightGBM on a column of pandas of type category, or on the numbers that are the levels",
                shown(levels)
            )
        })
    };
    numbers.iter().map(place).collect()
}

fn shown(levels: &[String]) -> String {
    let names: Vec<&str> = levels.iter().take(SHOWN).map(String::as_str).collect();
    let more = if levels.len() > SHOWN { format!(" and {} more", levels.len() - SHOWN) } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// A level as it is compared: without regard to case and to blanks around it.
fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn sorted(found: HashMap<u32, u32>) -> Vec<(u32, u32)> {
        let mut found: Vec<(u32, u32)> = found.into_iter().collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn categories_are_the_levels_of_their_names() {
        let levels = strings(&["West", "North", "Old Town"]);
        let list = [strings(&["North"]), strings(&["west"]), strings(&["old  town"])];
        assert_eq!(sorted(listed(&list, &levels).unwrap()), [(0, 1), (1, 0), (2, 2)]);
        let numbers = [strings(&["1", "1.0"]), strings(&["2", "2.0"])];
        assert_eq!(sorted(listed(&numbers, &strings(&["2", "1.0"])).unwrap()), [(0, 1), (1, 0)]);
        assert_eq!(
            listed(&[strings(&["South"])], &levels).unwrap_err(),
            "it knows \"South\", which is none of the levels West, North, Old Town; add it to the levels"
        );
        assert_eq!(
            listed(&[strings(&["west"]), strings(&["WEST"])], &levels).unwrap_err(),
            "\"WEST\" and another of its categories are the level \"West\" here"
        );
    }

    #[test]
    fn codes_without_a_list_are_numbers() {
        // as text "10" stands before "2"
        let levels = strings(&["0", "1", "10", "2"]);
        assert_eq!(sorted(numbered(&[0, 2, 10], &levels).unwrap()), [(0, 0), (2, 3), (10, 2)]);
        assert_eq!(
            numbered(&[0], &strings(&["a", "b"])).unwrap_err(),
            "it was trained on codes and has no list of what they stand for, and the code 0 is none of the levels a, b. Train it with \
             LightGBM on a column of pandas of type category, or on the numbers that are the levels"
        );
    }
}
