//! Lines of keys in the text of a configuration, for errors that are found after parsing.

/// The 1-based line of the last key of `path` in `text`. The keys are searched one after the other, in block style. Returns the deepest key
/// that was found.
pub fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let mut lines = text.lines().enumerate();
    let mut line = None;
    for key in path {
        let Some((index, _)) = lines.find(|(_, text)| starts_with_key(text, key)) else { break };
        line = Some(index + 1);
    }
    line
}

fn starts_with_key(line: &str, key: &str) -> bool {
    let line = line.trim_start();
    let rest = match line.chars().next() {
        Some(quote @ ('"' | '\'')) => line[1..].strip_prefix(key).and_then(|rest| rest.strip_prefix(quote)),
        _ => line.strip_prefix(key),
    };
    rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn keys_are_followed_downwards() {
        let text = "table:\n  columns:\n    price: {type: float}\n    \"lot area\": {type: float}\nengineer:\n  derive:\n    price: a\n";
        assert_eq!(line_of(text, &["engineer", "derive", "price"]), Some(7));
        assert_eq!(line_of(text, &["table", "columns", "lot area"]), Some(4));
        assert_eq!(line_of(text, &["table", "columns", "absent"]), Some(2));
        assert_eq!(line_of(text, &["absent"]), None);
    }
}
