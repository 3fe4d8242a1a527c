//! Who may ask: keys, and pages of other origins.

use anyhow::{Context, bail, ensure};
use axum::http::{HeaderMap, HeaderValue, header};
use subtle::{Choice, ConstantTimeEq};

use crate::args::AccessArgs;

const VARIABLE: &str = "SERVE_API_KEY";
/// Shorter keys are guessed.
const SHORTEST: usize = 16;

/// Keys and origins that are let in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    keys: Vec<String>,
    origins: Vec<HeaderValue>,
}

impl Access {
    /// As the flags and the environment say.
    ///
    /// # Errors
    /// If a key is too short, a file has none, or an origin is not one.
    pub(crate) fn check(args: &AccessArgs) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        if let Some(path) = &args.api_keys {
            let text = cli::read_text(path, "--api-keys")?;
            for (place, line) in text.lines().enumerate() {
                let key = line.trim();
                if !key.is_empty() && !key.starts_with('#') {
                    check_key(key).with_context(|| format!("{}:{}", path.display(), place + 1))?;
                    keys.push(key.to_owned());
                }
            }
            ensure!(!keys.is_empty(), "{}: has no key; write one a line", path.display());
        } else if let Some(key) = cli::variable(VARIABLE) {
            check_key(&key).context(VARIABLE)?;
            keys.push(key);
        }
        let origins = args.allow_origin.iter().map(|origin| parse_origin(origin)).collect::<Result<_, _>>()?;
        Ok(Self { keys, origins })
    }

    /// Whether requests need a key.
    pub(crate) fn is_guarded(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The key that a request has, if it is one of ours; every key is compared, in a time that does not tell how much of it is right.
    pub(crate) fn key(&self, headers: &HeaderMap) -> Option<&str> {
        let bearer = || {
            let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
            value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer "))
        };
        let given = headers.get("x-api-key").and_then(|value| value.to_str().ok()).or_else(bearer)?;
        let mut found = None;
        for key in &self.keys {
            let same: Choice = key.as_bytes().ct_eq(given.as_bytes());
            if bool::from(same) {
                found = Some(key.as_str());
            }
        }
        found
    }

    /// The origin of a request, if its pages may call.
    pub(crate) fn origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        headers.get(header::ORIGIN).filter(|origin| self.origins.contains(origin))
    }
}

fn check_key(key: &str) -> anyhow::Result<()> {
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(visible, "a key is made of visible ASCII characters");
    ensure!(key.len() >= SHORTEST, "a key of {} characters is too short; take {SHORTEST} or more", key.len());
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

    #[test]
    fn a_key_is_known_wherever_it_stands() {
        let access = Access { keys: vec!["first-key-0123456".into(), "other-key-0123456".into()], origins: vec![] };
        let key = "other-key-0123456";
        assert_eq!(access.key(&headers("x-api-key", key)), Some(key));
        assert_eq!(access.key(&headers("authorization", &format!("Bearer {key}"))), Some(key));
        for wrong in [headers("x-api-key", "other-key-012345"), headers("authorization", key), HeaderMap::new()] {
            assert_eq!(access.key(&wrong), None);
        }
    }

    #[test]
    fn keys_and_origins_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let check = |text: &str, origin: &str| {
            std::fs::write(&file, text).unwrap();
            let args = AccessArgs { api_keys: Some(file.clone()), allow_origin: vec![origin.to_owned()] };
            Access::check(&args).map_err(|error| format!("{error:#}"))
        };
        let good = "# ours\n\n0123456789abcdef\n";
        let access = check(good, "https://a.example:8443").unwrap();
        assert!(access.origin(&headers("origin", "https://a.example:8443")).is_some());
        assert!(access.origin(&headers("origin", "https://b.example")).is_none());
        assert!(check("# none\n", "https://a.example").unwrap_err().ends_with("has no key; write one a line"));
        let short = check("0123456789abcdef\nshort\n", "https://a.example").unwrap_err();
        assert!(short.ends_with("keys:2: a key of 5 characters is too short; take 16 or more"), "{short}");
        for bad in ["*", "https://a.example/", "a.example"] {
            let expected = format!(
                "--allow-origin {bad}: write a scheme and a host, such as https://houses.example, and nothing after it"
            );
            assert_eq!(check(good, bad).unwrap_err(), expected);
        }
    }
}
