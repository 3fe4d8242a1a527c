//! Mapping of an imported model to the features and levels of the table.

use std::collections::{BTreeMap, HashMap};

use boosting::{CategoryCodes, ImportedModel};

/// Largest number of features or levels in a message.
const MAX_NAMES_SHOWN: usize = 10;

/// Maps an imported model: its features to their indices in `features`, its categories to the codes of the levels. `levels` has the levels
/// of each categorical feature in the order of their codes, and `None` for other features.
///
/// Also returns notes on assumptions: features that are matched by position, codes that are taken as numbers.
///
/// # Errors
/// If a feature is not in the table or not a category there, or a category is not a level; the message names it.
pub fn map_imported_model(
    imported: &ImportedModel,
    features: &[String],
    levels: &[Option<&[String]>],
) -> Result<(ImportedModel, Vec<String>), String> {
    let mut notes = Vec::new();
    let mut mapped = imported.clone();
    let order = match &imported.features {
        None => match_by_position(imported, features, &mut notes)?,
        Some(names) => match_by_name(imported, names, features)?,
    };
    let mut codes = BTreeMap::new();
    for feature in imported.trees.categories_used() {
        let (name, levels) = (&features[order[feature]], levels.get(order[feature]).copied().flatten());
        let source = imported.source;
        let Some(levels) = levels else {
            return Err(format!(
                "the {source} model uses \"{name}\" as a category. Set engineer.encode.columns.{name}: native"
            ));
        };
        let mapping = match imported.categories.get(&feature) {
            Some(CategoryCodes::Listed(list)) => {
                if list.iter().flatten().all(|spelling| spelling.parse::<f64>().is_ok()) {
                    notes.push(format!(
                        "the {source} model lists pandas categories without column names: the list of \"{name}\" is matched by the order \
                         of the columns. A numeric column that was a category in pandas is read as its numbers"
                    ));
                }
                match_listed_categories(list, levels)
            }
            Some(CategoryCodes::Numbers(numbers)) => {
                notes.push(format!(
                    "the {source} model has no list of the categories of \"{name}\": its codes are taken as the numbers of the levels"
                ));
                match_numeric_codes(numbers, levels)
            }
            None => Err("has no codes".to_owned()),
        };
        let mapping = mapping.map_err(|message| format!("the {source} model: category \"{name}\": {message}"))?;
        codes.insert(feature, mapping);
    }
    mapped.trees.remap_codes(&codes)?;
    mapped.trees.remap_features(&order)?;
    mapped.width = features.len();
    mapped.features = Some(features.to_vec());
    Ok((mapped, notes))
}

/// Matches features by position.
fn match_by_position(imported: &ImportedModel, features: &[String], notes: &mut Vec<String>) -> Result<Vec<usize>, String> {
    let (source, width) = (imported.source, imported.width);
    if width != features.len() {
        return Err(format!(
            "the {source} model has {width} features without names, but the table has {} features. Train it with feature names",
            features.len()
        ));
    }
    let listing: Vec<String> =
        features.iter().take(MAX_NAMES_SHOWN).enumerate().map(|(place, name)| format!("{place} is {name}")).collect();
    let more = if width > MAX_NAMES_SHOWN { format!(" and {} more", width - MAX_NAMES_SHOWN) } else { String::new() };
    notes.push(format!(
        "the {source} model has no names for its features: they are matched by position ({}{more}). Train it with feature names to be sure",
        listing.join(", ")
    ));
    Ok((0..width).collect())
}

/// Matches features by name. LightGBM writes underscores for spaces.
fn match_by_name(imported: &ImportedModel, names: &[String], features: &[String]) -> Result<Vec<usize>, String> {
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
                let near = schema::closest_match(name, features.iter().map(String::as_str));
                let hint = near.map_or(String::new(), |near| format!(" (did you mean \"{near}\"?)"));
                Err(format!("the {source} model uses the feature {}, which is not in the table{hint}", schema::quoted(name)))
            }
            _ => Err(format!(
                "the {source} model uses the feature \"{name}\", which matches several features of the table, because LightGBM writes underscores \
                 for spaces. Rename one"
            )),
        };
        order[feature] = place?;
    }
    Ok(order)
}

/// Maps codes to levels by the list of categories in the file.
fn match_listed_categories(list: &[Vec<String>], levels: &[String]) -> Result<HashMap<u32, u32>, String> {
    let exact: HashMap<&str, u32> = levels.iter().map(String::as_str).zip(0..).collect();
    let normalized: HashMap<String, u32> = levels.iter().map(|level| normalize_level(level)).zip(0..).collect();
    let mut places = HashMap::new();
    let mut codes: HashMap<u32, u32> = HashMap::new();
    for (spellings, code) in list.iter().zip(0..) {
        let place = spellings.iter().find_map(|spelling| exact.get(spelling.as_str()));
        let place = place.or_else(|| spellings.iter().find_map(|spelling| normalized.get(&normalize_level(spelling))));
        let category = schema::quoted(spellings.first().map_or("", String::as_str));
        let Some(place) = place.copied() else {
            return Err(format!(
                "it uses {category}, which is not one of the levels {}. Add it to the levels",
                listing(levels)
            ));
        };
        if places.insert(code, place).is_some() || codes.insert(place, code).is_some() {
            return Err(format!("{category} and another category match the level \"{}\"", levels[place as usize]));
        }
    }
    Ok(places)
}

/// Maps codes to levels that are the same numbers.
fn match_numeric_codes(numbers: &[u32], levels: &[String]) -> Result<HashMap<u32, u32>, String> {
    let mut known: Vec<(f64, u32)> = Vec::new();
    for (level, place) in levels.iter().zip(0..) {
        known.extend(level.trim().parse::<f64>().ok().map(|number| (number, place)));
    }
    let known: HashMap<u64, u32> = known.into_iter().map(|(number, place)| (number.to_bits(), place)).collect();
    let place = |number: &u32| {
        let place = known.get(&f64::from(*number).to_bits()).copied();
        place.map(|place| (*number, place)).ok_or_else(|| {
            format!(
                "the model has no list of categories, and its code {number} is not one of the levels {}. Train it with LightGBM \
                 on a pandas column of type category, or on the numbers of the levels",
                listing(levels)
            )
        })
    };
    numbers.iter().map(place).collect()
}

fn listing(levels: &[String]) -> String {
    let names: Vec<&str> = levels.iter().take(MAX_NAMES_SHOWN).map(String::as_str).collect();
    let more =
        if levels.len() > MAX_NAMES_SHOWN { format!(" and {} more", levels.len() - MAX_NAMES_SHOWN) } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// Normalizes a level for comparison: case and spaces are ignored.
fn normalize_level(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn sorted(mapping: HashMap<u32, u32>) -> Vec<(u32, u32)> {
        let mut mapping: Vec<(u32, u32)> = mapping.into_iter().collect();
        mapping.sort_unstable();
        mapping
    }

    #[test]
    fn categories_are_matched_to_levels_by_name() {
        let levels = strings(&["West", "North", "Old Town"]);
        let list = [strings(&["North"]), strings(&["west"]), strings(&["old  town"])];
        assert_eq!(sorted(match_listed_categories(&list, &levels).unwrap()), [(0, 1), (1, 0), (2, 2)]);
        let numbers = [strings(&["1", "1.0"]), strings(&["2", "2.0"])];
        assert_eq!(sorted(match_listed_categories(&numbers, &strings(&["2", "1.0"])).unwrap()), [(0, 1), (1, 0)]);
        assert_eq!(
            match_listed_categories(&[strings(&["South"])], &levels).unwrap_err(),
            "it uses \"South\", which is not one of the levels West, North, Old Town. Add it to the levels"
        );
        assert_eq!(
            match_listed_categories(&[strings(&["west"]), strings(&["WEST"])], &levels).unwrap_err(),
            "\"WEST\" and another category match the level \"West\""
        );
    }

    #[test]
    fn codes_without_a_list_are_numbers() {
        // as text, "10" sorts before "2"
        let levels = strings(&["0", "1", "10", "2"]);
        assert_eq!(sorted(match_numeric_codes(&[0, 2, 10], &levels).unwrap()), [(0, 0), (2, 3), (10, 2)]);
        assert_eq!(
            match_numeric_codes(&[0], &strings(&["a", "b"])).unwrap_err(),
            "the model has no list of categories, and its code 0 is not one of the levels a, b. Train it with LightGBM \
             on a pandas column of type category, or on the numbers of the levels"
        );
    }
}
