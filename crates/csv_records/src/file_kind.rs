//! Files that have the name of a CSV table and another content.

/// The reason why a file that begins with `start` is no CSV text, and a remedy.
pub fn foreign_kind(start: &[u8]) -> Option<&'static str> {
    // bytes of a compressed file may look like line ends
    compressed_or_encoded(start).or_else(|| match start {
        [b'P', b'A', b'R', b'1', ..] => Some("is a Parquet file. Name it .parquet"),
        _ if start.contains(&b'\r') && !start.contains(&b'\n') => {
            Some("has line ends with CR only. Save it with LF or CRLF")
        }
        _ => None,
    })
}

/// The reason why a file that begins with `start` is no UTF-8 text, and a remedy: it is compressed, or has another encoding.
pub fn compressed_or_encoded(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x1f, 0x8b, ..] => Some("is compressed with gzip. Unpack it first"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("is compressed with zstd. Unpack it first"),
        [b'P', b'K', 3, 4, ..] => Some("is a zip archive or a spreadsheet. Save it as CSV first"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("is UTF-16 text. Save the file as UTF-8"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_first_bytes() {
        assert_eq!(foreign_kind(b"\x1f\x8b\r"), Some("is compressed with gzip. Unpack it first"));
        assert_eq!(foreign_kind(b"PAR1"), Some("is a Parquet file. Name it .parquet"));
        assert_eq!(foreign_kind(b"a,b\r1,2\r"), Some("has line ends with CR only. Save it with LF or CRLF"));
        assert_eq!((foreign_kind(b"a,b\r\n"), foreign_kind(b"")), (None, None));
    }
}
