//! API keys with the names of their callers, and the allowed origins.

use std::{fmt, path::Path};

use anyhow::{Context, bail, ensure};
use axum::http::{HeaderMap, HeaderValue, header};
use subtle::{Choice, ConstantTimeEq};

use crate::args::AccessArgs;

/// The variable with the only key of a server without a key file. It is the name of that caller, too.
const API_KEY_VARIABLE: &str = "SERVE_API_KEY";
/// Shorter keys can be guessed.
const MIN_KEY_LENGTH: usize = 16;
/// Longer names are rejected.
const MAX_NAME_LENGTH: usize = 32;
/// The prefix of the default name of a key; its position among the keys of the file follows.
const DEFAULT_NAME_PREFIX: &str = "key-";

/// The known API keys and the allowed origins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    keys: Vec<ApiKey>,
    origins: Vec<HeaderValue>,
}

/// An API key, and the stable name of its caller. Several keys may share a name.
#[derive(Clone)]
struct ApiKey {
    name: String,
    key: String,
}

/// Shows the name only: keys appear in no log and no message.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The caller of a request: the name of its key, or `None` where no key is needed. It is a request extension.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Caller(pub(crate) Option<&'static str>);

impl Access {
    /// Reads the keys and origins of the arguments and the environment.
    ///
    /// # Errors
    /// If a key, a name or an origin is invalid, or a file has no key or one twice. Messages contain no key.
    pub(crate) fn try_from_args(args: &AccessArgs) -> anyhow::Result<Self> {
        let keys = if let Some(path) = &args.api_keys {
            let keys = parse_keys(&cli::read_text(path, "--api-keys")?, path)?;
            ensure!(!keys.is_empty(), "{}: has no key; write one a line", path.display());
            keys
        } else if let Some(key) = cli::variable(API_KEY_VARIABLE) {
            check_key(&key).context(API_KEY_VARIABLE)?;
            vec![ApiKey { name: API_KEY_VARIABLE.to_owned(), key }]
        } else {
            ensure!(
                !cli::is_variable_empty(API_KEY_VARIABLE),
                "{API_KEY_VARIABLE}: is set but empty; set it to a key, or unset it to serve without keys"
            );
            Vec::new()
        };
        let origins = args.allow_origin.iter().map(|origin| parse_origin(origin)).collect::<Result<_, _>>()?;
        Ok(Self { keys, origins })
    }

    /// Whether requests need a key.
    pub(crate) fn is_guarded(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The name of the request's key, if the key is known. All keys are compared, in a time that does not depend on the number of matching
    /// bytes.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Option<&str> {
        if self.keys.is_empty() {
            return None;
        }
        let bearer = || {
            let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start_matches(' '))
        };
        let presented = headers.get("x-api-key").and_then(|value| value.to_str().ok()).or_else(bearer)?;
        let mut caller = None;
        for ApiKey { name, key } in &self.keys {
            let same: Choice = key.as_bytes().ct_eq(presented.as_bytes());
            if bool::from(same) {
                caller = Some(name.as_str());
            }
        }
        caller
    }

    /// The origin of a request, if it is allowed.
    pub(crate) fn origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        headers.get(header::ORIGIN).filter(|origin| self.origins.contains(origin))
    }
}

/// Parses a key file: `KEY` or `NAME KEY` per line. Blank lines and lines that begin with `#` are skipped. The N-th key without a name is
/// called `key-N`.
fn parse_keys(text: &str, path: &Path) -> anyhow::Result<Vec<ApiKey>> {
    let mut keys: Vec<(usize, ApiKey)> = Vec::new();
    for (place, line) in text.lines().enumerate().map(|(place, line)| (place + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parse = || {
            let (name, key) = match line.split_whitespace().collect::<Vec<&str>>().as_slice() {
                [key] => (format!("{DEFAULT_NAME_PREFIX}{}", keys.len() + 1), (*key).to_owned()),
                [name, key] => (check_name(name)?.to_owned(), (*key).to_owned()),
                _ => bail!("has more than a name and a key; write NAME KEY, or only the key"),
            };
            check_key(&key)?;
            if let Some((first, _)) = keys.iter().find(|(_, known)| known.key == key) {
                bail!("repeats the key of line {first}; remove one of the two lines");
            }
            Ok(ApiKey { name, key })
        };
        let key = parse().with_context(|| format!("{}:{place}", path.display()))?;
        keys.push((place, key));
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// Checks a name. Messages do not repeat it: if name and key are swapped, it is the key.
fn check_name(name: &str) -> anyhow::Result<&str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    ensure!(
        name.len() <= MAX_NAME_LENGTH && name.bytes().all(allowed),
        "the name before the key must consist of 1 to {MAX_NAME_LENGTH} ASCII letters, digits, dots, dashes and underscores"
    );
    let number = name.strip_prefix(DEFAULT_NAME_PREFIX).unwrap_or_default();
    let reserved = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(!reserved, "names such as {DEFAULT_NAME_PREFIX}1 are reserved for keys without a name; choose another");
    Ok(name)
}

fn check_key(key: &str) -> anyhow::Result<()> {
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(visible, "a key must consist of visible ASCII characters");
    ensure!(key.len() >= MIN_KEY_LENGTH, "a key of {} characters is too short; use at least {MIN_KEY_LENGTH}", key.len());
    Ok(())
}

fn parse_origin(text: &str) -> anyhow::Result<HeaderValue> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.contains(['/', '*', '?', '#']) {
        bail!("--allow-origin {text}: write a scheme and a host, such as https://houses.example, and nothing after it");
    }
    HeaderValue::from_str(text).with_context(|| format!("--allow-origin {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    fn keys(text: &str) -> Result<Vec<(String, String)>, String> {
        let keys = parse_keys(text, Path::new("keys")).map_err(|error| format!("{error:#}"))?;
        Ok(keys.into_iter().map(|ApiKey { name, key }| (name, key)).collect())
    }

    #[test]
    fn a_key_is_known_wherever_it_stands() {
        let text = "first-key-0123456\nshop other-key-0123456\nshop third-key-0123456\n";
        let access = Access { keys: parse_keys(text, Path::new("keys")).unwrap(), origins: vec![] };
        let key = "other-key-0123456";
        assert_eq!(access.caller(&headers("x-api-key", key)), Some("shop"));
        assert_eq!(access.caller(&headers("x-api-key", "third-key-0123456")), Some("shop"));
        assert_eq!(access.caller(&headers("x-api-key", "first-key-0123456")), Some("key-1"));
        assert_eq!(access.caller(&headers("authorization", &format!("Bearer {key}"))), Some("shop"));
        for scheme in ["bearer", "BEARER", "BeaRer ", "Bearer   "] {
            assert_eq!(access.caller(&headers("authorization", &format!("{scheme} {key}"))), Some("shop"), "{scheme}");
        }
        let basic = headers("authorization", &format!("Basic {key}"));
        for wrong in [headers("x-api-key", "other-key-012345"), headers("authorization", key), basic, HeaderMap::new()] {
            assert_eq!(access.caller(&wrong), None);
        }
        assert!(!format!("{access:?}").contains("0123456"), "{access:?}");
        assert_eq!(Access::default().caller(&headers("x-api-key", key)), None);
    }

    #[test]
    fn keys_have_names_that_outlive_them() {
        let of = |pairs: &[(&str, &str)]| Ok(pairs.iter().map(|(n, k)| ((*n).to_owned(), (*k).to_owned())).collect());
        let (old, new, other) = ("0123456789abcdef", "fedcba9876543210", "another-long-key");
        let before = keys(&format!("# ours\nshop {old}\n\n{other}\n"));
        assert_eq!(before, of(&[("shop", old), ("key-2", other)]));
        // rotation: a second line is added, then the first is removed
        assert_eq!(keys(&format!("shop {old}\nshop\t{new}\n")), of(&[("shop", old), ("shop", new)]));
        assert_eq!(keys(&format!("shop {new}\r\n{other}")), of(&[("shop", new), ("key-2", other)]));
        // a key without a name keeps its name when it is replaced in its line
        assert_eq!(keys(&format!("{old}\n{new}\n")), of(&[("key-1", old), ("key-2", new)]));
        for (text, expected) in [
            (format!("shop {old} {new}"), "keys:1: has more than a name and a key; write NAME KEY, or only the key"),
            (format!("{old}\nshop {old}"), "keys:2: repeats the key of line 1; remove one of the two lines"),
            (format!("\nkey-7 {old}"), "keys:2: names such as key-1 are reserved for keys without a name; choose another"),
            (
                format!("sh\u{f6}p {old}"),
                "keys:1: the name before the key must consist of 1 to 32 ASCII letters, digits, dots, dashes and underscores",
            ),
            (
                format!("{} {old}", "x".repeat(33)),
                "keys:1: the name before the key must consist of 1 to 32 ASCII letters, digits, dots, dashes and underscores",
            ),
            (format!("{old} shop"), "keys:1: a key of 4 characters is too short; use at least 16"),
            (format!("shop {old}\u{e9}"), "keys:1: a key must consist of visible ASCII characters"),
        ] {
            assert_eq!(keys(&text), Err(expected.to_owned()));
        }
    }

    #[test]
    fn keys_and_origins_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let check = |text: &str, origin: &str| {
            std::fs::write(&file, text).unwrap();
            let args =
                AccessArgs { api_keys: Some(file.clone()), allow_origin: vec![origin.to_owned()], trusted_proxy: vec![] };
            Access::try_from_args(&args).map_err(|error| format!("{error:#}"))
        };
        let good = "# ours\n\n0123456789abcdef\n";
        let access = check(good, "https://a.example:8443").unwrap();
        assert!(access.origin(&headers("origin", "https://a.example:8443")).is_some());
        assert!(access.origin(&headers("origin", "https://b.example")).is_none());
        assert!(check("# none\n", "https://a.example").unwrap_err().ends_with("has no key; write one a line"));
        let short = check("0123456789abcdef\nshort\n", "https://a.example").unwrap_err();
        assert!(short.ends_with("keys:2: a key of 5 characters is too short; use at least 16"), "{short}");
        for bad in ["*", "https://a.example/", "a.example"] {
            let expected = format!(
                "--allow-origin {bad}: write a scheme and a host, such as https://houses.example, and nothing after it"
            );
            assert_eq!(check(good, bad).unwrap_err(), expected);
        }
    }
}
