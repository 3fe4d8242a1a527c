//! The fields of a record (RFC 4180): split, and written.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

/// Splits a well-formed record into its fields, without the quotes around them.
pub fn fields(record: &str) -> Vec<Cow<'_, str>> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut end = 0;
            while let Some(quote) = memchr(b'"', &quoted.as_bytes()[end..]) {
                end += quote;
                if !quoted[end + 1..].starts_with('"') {
                    break;
                }
                end += 2;
            }
            let field = &quoted[..end];
            let is_plain = memchr(b'"', field.as_bytes()).is_none();
            fields.push(if is_plain { Cow::Borrowed(field) } else { Cow::Owned(field.replace("\"\"", "\"")) });
            rest = quoted.get(end + 1..).unwrap_or("");
        } else {
            let end = memchr(b',', rest.as_bytes()).unwrap_or(rest.len());
            fields.push(Cow::Borrowed(&rest[..end]));
            rest = &rest[end..];
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return fields,
        }
    }
}

/// Appends a field, with quotes around it where it holds a separator, a quote or a line end.
pub fn push_field(out: &mut Vec<u8>, field: &str) {
    let bytes = field.as_bytes();
    if memchr3(b',', b'"', b'\n', bytes).is_none() && memchr(b'\r', bytes).is_none() {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for byte in bytes {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_by_rfc_4180() {
        assert_eq!(fields("a,\"b,c\",\"d \"\"e\"\"\",,f"), ["a", "b,c", "d \"e\"", "", "f"]);
        assert_eq!(fields("\"\",x"), ["", "x"]);
        assert_eq!(fields(""), [""]);
        assert_eq!(fields("a,"), ["a", ""]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for field in ["", "a", "a b", "a,b", "\"", "say \"hi\"", "two\nlines", "a\rb", "é,ü"] {
            let mut record = Vec::new();
            push_field(&mut record, field);
            record.push(b',');
            push_field(&mut record, "end");
            assert_eq!(fields(std::str::from_utf8(&record).unwrap()), [field, "end"]);
        }
    }
}
