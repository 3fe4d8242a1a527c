//! Text as the schema compares it, in RE2's patterns.

/// A blank as Rust knows it; RE2's own class has the ASCII ones.
pub(crate) const BLANK: &str = r"[\s\x0b\x{85}\p{Z}]";

/// The text itself in a pattern.
pub(crate) fn escaped(text: &str) -> String {
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

/// A pattern for any of `texts`: blanks around them do not count and those inside count as one.
pub(crate) fn tidied<'a>(texts: impl IntoIterator<Item = &'a str>, any_case: bool) -> String {
    let words = |text: &str| {
        let words: Vec<String> = text.split_whitespace().map(escaped).collect();
        words.join(&format!("{BLANK}+"))
    };
    let texts: Vec<String> = texts.into_iter().map(words).collect();
    format!("(?{}s){BLANK}*(?:{}){BLANK}*", if any_case { "i" } else { "" }, texts.join("|"))
}

/// A pattern for any of `texts` as they stand, blanks around them not counting.
pub(crate) fn trimmed<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(escaped).collect();
    format!("(?s){BLANK}*(?:{}){BLANK}*", texts.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_means_something_in_a_pattern_is_escaped() {
        assert_eq!(escaped("a.b*(c) é\n"), "a\\.b\\*\\(c\\) é\\x0a");
        assert_eq!(tidied(["Old Town"], true), format!("(?is){BLANK}*(?:Old{BLANK}+Town){BLANK}*"));
    }
}
