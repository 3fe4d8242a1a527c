//! RE2 patterns for texts that are equal for the schema.

/// Whitespace of Rust; RE2's own class has ASCII only.
pub(crate) const WHITESPACE: &str = r"[\s\x0b\x{85}\p{Z}]";

/// The text as a literal in a pattern.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            out.push('\\');
        }
        if character.is_ascii_control() {
            out.push_str(&format!("\\x{:02x}", character as u32));
        } else {
            out.push(character);
        }
    }
    out
}

/// A pattern for any of `texts`, with whitespace around them ignored and inside collapsed.
pub(crate) fn normalized_pattern<'a>(texts: impl IntoIterator<Item = &'a str>, any_case: bool) -> String {
    let words = |text: &str| {
        let words: Vec<String> = text.split_whitespace().map(escape).collect();
        words.join(&format!("{WHITESPACE}+"))
    };
    let texts: Vec<String> = texts.into_iter().map(words).collect();
    format!("(?{}s){WHITESPACE}*(?:{}){WHITESPACE}*", if any_case { "i" } else { "" }, texts.join("|"))
}

/// A pattern for any of `texts` exactly, with whitespace around them ignored.
pub(crate) fn trimmed_pattern<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(escape).collect();
    format!("(?s){WHITESPACE}*(?:{}){WHITESPACE}*", texts.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_means_something_in_a_pattern_is_escaped() {
        assert_eq!(escape("a.b*(c) é\n"), "a\\.b\\*\\(c\\) é\\x0a");
        assert_eq!(
            normalized_pattern(["Old Town"], true),
            format!("(?is){WHITESPACE}*(?:Old{WHITESPACE}+Town){WHITESPACE}*")
        );
    }
}
