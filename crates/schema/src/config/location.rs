//! Finds the line on which a key stands, so that an error found after parsing can still point at the file.

/// The 1-based line of `text` on which the last key of `path` is written, following the keys one below the other.
/// Understands block style, which is what people write by hand; returns the deepest key it could find.
pub fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let mut lines = text.lines().enumerate();
    let mut found = None;
    for key in path {
        let Some((index, _)) = lines.find(|(_, line)| starts_with_key(line, key)) else { break };
        found = Some(index + 1);
    }
    found
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
    fn follows_keys_downwards() {
        let text = "table:\n  columns:\n    price: {type: float}\n    \"lot area\": {type: float}\nengineer:\n  derive:\n    price: a\n";
        assert_eq!(line_of(text, &["engineer", "derive", "price"]), Some(7));
        assert_eq!(line_of(text, &["table", "columns", "lot area"]), Some(4));
        assert_eq!(line_of(text, &["table", "columns", "absent"]), Some(2));
        assert_eq!(line_of(text, &["absent"]), None);
    }
}
