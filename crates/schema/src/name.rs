//! Validation of names of columns, levels and derived features.

use std::borrow::Cow;

/// Longest name of a column or level, in bytes.
pub const MAX_NAME_BYTES: usize = 1_000;
/// Longest name that is safe as a file name with an extension, in bytes; most file systems allow 255.
pub const MAX_FILE_NAME_BYTES: usize = 200;

/// Names of devices on Windows, with any extension.
const WINDOWS_DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Checks that a name is printable, has one line and is not too long.
///
/// # Errors
/// If the name is invalid; the message is written after its location.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("a name of {} bytes is too long; {MAX_NAME_BYTES} are allowed", name.len()));
    }
    match unprintable(name) {
        Some(character) => Err(format!(
            "the name {} holds U+{:04X}, which cannot be printed; remove it",
            printable(name),
            u32::from(character)
        )),
        None => Ok(()),
    }
}

/// Checks that a name passes [`check_name`] and is safe as a file name on every system.
///
/// # Errors
/// If the name is invalid; the message is written after its location.
pub fn check_file_name(name: &str) -> Result<(), String> {
    check_name(name)?;
    if name.is_empty() || name.trim() != name {
        return Err(format!("the name \"{name}\" must not be empty, nor begin or end with a blank"));
    }
    if name.len() > MAX_FILE_NAME_BYTES {
        return Err(format!("a name of {} bytes is too long; {MAX_FILE_NAME_BYTES} are allowed", name.len()));
    }
    if let Some(character) = name.chars().find(|character| "/\\:*?\"<>|`".contains(*character)) {
        return Err(format!(
            "the name \"{name}\" holds {character}, which is not safe in the name of a file; choose another"
        ));
    }
    if name.starts_with('.') || name.ends_with('.') {
        return Err(format!("the name \"{name}\" begins or ends with a point, which is not safe in the name of a file"));
    }
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    if WINDOWS_DEVICES.contains(&stem.as_str()) {
        return Err(format!("the name \"{name}\" is that of a device on Windows; choose another"));
    }
    Ok(())
}

/// The first character of `text` that cannot be printed on one line: controls, line ends, directional marks, and all characters that
/// Unicode defines as invisible (`Default_Ignorable_Code_Point`). Joiners between letters, which some languages need, and the joiners and
/// variation selectors of emoji are allowed.
pub fn unprintable(text: &str) -> Option<char> {
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_letter = |character: Option<char>| character.is_some_and(|c| c.is_alphabetic() && !c.is_ascii());
        let next = characters.peek().copied();
        let is_joiner = match character {
            '\u{200c}' => is_letter(before) && is_letter(next),
            '\u{200d}' => is_letter(before) && is_letter(next) || is_symbol(before) && is_symbol(next),
            _ => false,
        };
        let is_selector = |character: char| matches!(character, '\u{fe0e}' | '\u{fe0f}');
        if is_symbol(before) && is_selector(character) && !next.is_some_and(is_selector) {
            // a variation selector belongs to the symbol before it
            continue;
        }
        if is_unprintable(character) && !is_joiner {
            return Some(character);
        }
        before = Some(character);
    }
    None
}

fn is_unprintable(character: char) -> bool {
    character.is_control()
        || is_ignorable(character)
        || matches!(u32::from(character),
            // line and paragraph separators, annotations, replacement characters, private use, non-characters
            0x2028 | 0x2029 | 0xfff9..=0xfffd | 0xe000..=0xf8ff | 0xf_0000..=0x10_ffff | 0xfdd0..=0xfdef)
        || u32::from(character) & 0xfffe == 0xfffe
}

/// True for a symbol beyond ASCII, such as an emoji.
fn is_symbol(character: Option<char>) -> bool {
    character.is_some_and(|c| !c.is_ascii() && !c.is_alphanumeric() && !c.is_whitespace() && !is_unprintable(c))
}

/// True for characters with the property `Default_Ignorable_Code_Point` of Unicode 17, which are invisible.
fn is_ignorable(character: char) -> bool {
    matches!(u32::from(character),
        // soft hyphen, combining grapheme joiner, Arabic mark, fillers of Hangul, inherent vowels of Khmer
        0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5
        // selectors and separators of Mongolian, joiners and the widthless, directions, invisible operators
        | 0x180b..=0x180f | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f
        // filler of Hangul, selectors of variants, byte order mark, half-width filler, not assigned
        | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfff8
        // marks of shorthand and of music, language tags and selectors of variants
        | 0x1_bca0..=0x1_bca3 | 0x1_d173..=0x1_d17a | 0xe_0000..=0xe_0fff)
}

/// The text with escapes for characters that cannot be printed, so that no message controls a terminal.
pub fn printable(text: &str) -> Cow<'_, str> {
    if unprintable(text).is_none() {
        return Cow::Borrowed(text);
    }
    let escaped = |character: char| match character {
        character if character.is_control() => character.escape_debug().to_string(),
        character if is_unprintable(character) => character.escape_unicode().to_string(),
        character => character.to_string(),
    };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// A cell or name in quotes for messages: printable, and shortened to 200 characters.
pub fn quoted(text: &str) -> String {
    const MAX_QUOTED_CHARACTERS: usize = 200;
    match text.char_indices().nth(MAX_QUOTED_CHARACTERS) {
        None => format!("\"{}\"", printable(text)),
        Some((end, _)) => format!("\"{}…\" ({} bytes)", printable(&text[..end]), text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_tables_are_accepted() {
        for name in [
            "price/sqft",
            "lot area",
            "% sold",
            "Größe (m²)",
            "価格",
            "قیمت\u{200c}خانه",
            "a.b",
            "#",
            "naïve",
            "..",
            "x\u{a0}y",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["house_age", "Größe (m²)", "a-b", "log.price", "価格", "rooms per bath"] {
            assert_eq!(check_file_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn unprintable_names_are_rejected() {
        for name in [
            "a\nb",
            "a\rb",
            "a\0b",
            "\u{1b}[31m",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200b}b",
            "\u{feff}a",
            "a\u{2028}b",
            "a\u{85}b",
            "a\u{ad}b",
            "a\u{e0041}",
            "a\u{200d}b",
            "\u{fffd}",
            "\u{e000}",
            "\u{ffff}",
            "a\tb",
            "a\u{200e}",
            "a\u{061c}b",
        ] {
            assert!(check_name(name).is_err(), "{}", name.escape_debug());
        }
        assert_eq!(
            check_name("a\u{202e}b").unwrap_err(),
            "the name a\\u{202e}b holds U+202E, which cannot be printed; remove it"
        );
        assert_eq!(check_name(&"a".repeat(1_001)).unwrap_err(), "a name of 1001 bytes is too long; 1000 are allowed");
    }

    #[test]
    fn names_with_invisible_characters_are_rejected() {
        let ranges = [
            (0xad, 0xad),
            (0x34f, 0x34f),
            (0x61c, 0x61c),
            (0x115f, 0x1160),
            (0x17b4, 0x17b5),
            (0x180b, 0x180f),
            (0x200b, 0x200f),
            (0x202a, 0x202e),
            (0x2060, 0x206f),
            (0x3164, 0x3164),
            (0xfe00, 0xfe0f),
            (0xfeff, 0xfeff),
            (0xffa0, 0xffa0),
            (0xfff0, 0xfff8),
            (0x1_bca0, 0x1_bca3),
            (0x1_d173, 0x1_d17a),
            (0xe_0000, 0xe_0fff),
        ];
        for (first, last) in ranges {
            for code in [first, last] {
                let name = format!("a{}b", char::from_u32(code).unwrap());
                let shown = format!("the name a\\u{{{code:x}}}b holds U+{code:04X}, which cannot be printed; remove it");
                assert_eq!(check_name(&name), Err(shown.clone()));
                assert_eq!(check_file_name(&name), Err(shown));
            }
            for code in [first - 1, last + 1] {
                let neighbour = char::from_u32(code).unwrap();
                let is_seen = ranges.iter().all(|(first, last)| !(*first..=*last).contains(&code));
                assert!(is_seen && !is_ignorable(neighbour), "U+{code:04X}");
            }
        }
    }

    #[test]
    fn names_with_emoji_are_accepted() {
        for name in ["\u{2b50}\u{fe0f}", "\u{2764}\u{fe0f}\u{200d}\u{1f525}", "\u{1f469}\u{200d}\u{1f467} home"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "a\u{fe0f}",
            "\u{fe0f}",
            "\u{2b50}\u{fe0f}\u{fe0f}",
            "\u{2b50}\u{200d}",
            "\u{2b50}\u{200d}a",
            "a\u{200d}\u{2b50}",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn unsafe_file_names_are_rejected() {
        for (name, expected) in [
            ("../x", "the name \"../x\" holds /, which is not safe in the name of a file; choose another"),
            ("a\\b", "the name \"a\\b\" holds \\, which is not safe in the name of a file; choose another"),
            (".hidden", "the name \".hidden\" begins or ends with a point, which is not safe in the name of a file"),
            ("..", "the name \"..\" begins or ends with a point, which is not safe in the name of a file"),
            ("NUL", "the name \"NUL\" is that of a device on Windows; choose another"),
            ("con.x", "the name \"con.x\" is that of a device on Windows; choose another"),
            (" a", "the name \" a\" must not be empty, nor begin or end with a blank"),
        ] {
            assert_eq!(check_file_name(name).unwrap_err(), expected);
        }
        assert_eq!(check_file_name(&"a".repeat(201)).unwrap_err(), "a name of 201 bytes is too long; 200 are allowed");
    }

    #[test]
    fn cells_in_messages_are_printable_and_short() {
        assert_eq!(quoted("abc"), "\"abc\"");
        assert_eq!(quoted("a\n\u{1b}[1mb"), "\"a\\n\\u{1b}[1mb\"");
        assert_eq!(quoted(&"ä".repeat(300)), format!("\"{}…\" (600 bytes)", "ä".repeat(200)));
    }
}
