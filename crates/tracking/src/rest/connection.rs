//! Requests to one server, which are retried where that is safe and useful.

use crate::rest::client::client;
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reqwest::{
    Method, Url,
    blocking::{Client, Response},
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::TrackingError,
    rest::{
        error::{self, ServerError},
        http_config::{HttpConfig, Login},
        retry,
    },
};

/// Retries for a server that never responded: fewer than for others, because the run can be recorded locally.
const MAX_RETRIES_UNREACHED: u32 = 2;
const MAX_PAUSE_UNREACHED: Duration = Duration::from_secs(1);
/// Bytes of a JSON response at most.
const MAX_RESPONSE_BYTES: u64 = 256 << 20;

/// A request to a server.
#[derive(Debug)]
pub(super) struct Request {
    /// The purpose for messages, such as `creating the run`.
    pub(super) what: &'static str,
    pub(super) method: Method,
    /// The path below the server's address, or a whole address.
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Body,
    /// Retries at most, where an error that looks temporary is often permanent.
    pub(super) retries: Option<u32>,
}

/// The body of a request.
#[derive(Debug)]
pub(super) enum Body {
    None,
    Json(Vec<u8>),
    /// Bytes as they are, with headers.
    Raw(Vec<u8>, Vec<(String, String)>),
    /// The content of a file, which every attempt reads again.
    File(std::path::PathBuf, Vec<(String, String)>),
}

impl Request {
    /// A `GET` request.
    pub(super) fn get(what: &'static str, path: &str, query: Vec<(&'static str, String)>) -> Self {
        Self { what, method: Method::GET, path: api(path), query, body: Body::None, retries: None }
    }

    /// A request with a JSON body.
    pub(super) fn json(what: &'static str, method: Method, path: &str, body: &impl Serialize) -> Self {
        let body = Body::Json(serde_json::to_vec(body).unwrap_or_default());
        Self { what, method, path: api(path), query: Vec::new(), body, retries: None }
    }

    /// A `POST` request with a JSON body.
    pub(super) fn post(what: &'static str, path: &str, body: &impl Serialize) -> Self {
        Self::json(what, Method::POST, path, body)
    }
}

fn api(path: &str) -> String {
    format!("/api/2.0/mlflow/{path}")
}

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct AttemptFailure {
    pub(super) error: Box<TrackingError>,
    /// Whether another attempt may succeed.
    is_transient: bool,
    /// Whether the server may have processed the request.
    pub(super) may_be_duplicated: bool,
    /// Whether no connection was established.
    never_connected: bool,
    /// The delay that the server asks for.
    retry_after: Option<Duration>,
}

impl AttemptFailure {
    pub(super) fn permanent(error: TrackingError) -> Self {
        Self {
            error: Box::new(error),
            is_transient: false,
            may_be_duplicated: false,
            never_connected: false,
            retry_after: None,
        }
    }
}

/// A server and its HTTP client.
#[derive(Debug)]
pub(super) struct ServerConnection {
    /// The address without login and without a slash at the end.
    base: String,
    client: Client,
    settings: HttpConfig,
    /// Whether the server ever responded.
    has_responded: AtomicBool,
}

impl ServerConnection {
    /// A connection to the server at `base`. It sends nothing yet.
    pub(super) fn new(base: &str, settings: &HttpConfig) -> Result<Self, TrackingError> {
        let invalid = || TrackingError::InvalidLocation { uri: base.to_owned() };
        let mut url = Url::parse(base).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(invalid());
        }
        let mut settings = settings.clone();
        if let (name, Some(password)) = (url.username().to_owned(), url.password().map(str::to_owned)) {
            let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            settings.login = Login::Basic(decoded(&name), decoded(&password));
        }
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self {
            client: client(&settings)?,
            base: url.as_str().trim_end_matches('/').to_owned(),
            settings,
            has_responded: AtomicBool::new(false),
        })
    }

    /// The server's address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request that can be repeated, and parses the response.
    pub(super) fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<T, TrackingError> {
        self.with_retries(request, &|| self.attempt(request, &|response| self.parse(request, response)), &mut || Ok(None))
            .map(|(value, _)| value)
    }

    /// Sends a request that can be repeated, and ignores the response.
    pub(super) fn send(&self, request: &Request) -> Result<(), TrackingError> {
        self.with_retries(request, &|| self.attempt(request, &|_| Ok(())), &mut || Ok(None)).map(|((), _)| ())
    }

    /// Sends a request that creates something. Before a retry, `find` looks for the result of the attempt before. Also returns whether
    /// a duplicate may exist, because the outcome of an attempt is unknown.
    pub(super) fn create<T: DeserializeOwned>(
        &self,
        request: &Request,
        find: &mut dyn FnMut() -> Result<Option<T>, TrackingError>,
    ) -> Result<(T, bool), TrackingError> {
        self.with_retries(request, &|| self.attempt(request, &|response| self.parse(request, response)), find)
    }

    /// Writes the response to the path `to`, at most `limit` bytes.
    pub(super) fn download(&self, request: &Request, to: &Path, limit: u64) -> Result<(), TrackingError> {
        let save = |response: Response| {
            let mut file = artifact::AtomicFile::create(to).map_err(|error| AttemptFailure::permanent(error.into()))?;
            // one byte more than the limit, so that a larger file is noticed
            let mut limited = std::io::Read::take(response, limit.saturating_add(1));
            let copied = std::io::copy(&mut limited, &mut file);
            let copied = copied.map_err(|error| match error.get_ref().and_then(|cause| cause.downcast_ref()) {
                Some(error) => self.transport_failure(request, error),
                None => self.interrupted(request, &error),
            })?;
            if copied > limit {
                let cause = std::io::Error::other(format!("the file is larger than the limit of {limit} bytes"));
                return Err(AttemptFailure::permanent(TrackingError::io(to, "write it")(cause)));
            }
            file.commit().map(|_| ()).map_err(|error| AttemptFailure::permanent(error.into()))
        };
        self.with_retries(request, &|| self.attempt(request, &save), &mut || Ok(None)).map(|((), _)| ())
    }

    /// Repeats attempts until one succeeds, none is left, or another would be useless.
    fn with_retries<T>(
        &self,
        request: &Request,
        attempt: &dyn Fn() -> Result<T, AttemptFailure>,
        find: &mut dyn FnMut() -> Result<Option<T>, TrackingError>,
    ) -> Result<(T, bool), TrackingError> {
        let mut may_be_duplicated = false;
        let mut tried = 0;
        loop {
            let transport_failure = match attempt() {
                Ok(value) => return Ok((value, may_be_duplicated)),
                Err(transport_failure) => transport_failure,
            };
            may_be_duplicated |= transport_failure.may_be_duplicated;
            tried += 1;
            let is_first_contact = transport_failure.never_connected && !self.has_responded.load(Ordering::Relaxed);
            let allowed = request.retries.unwrap_or(u32::MAX).min(self.settings.max_retries);
            let retries = if is_first_contact { allowed.min(MAX_RETRIES_UNREACHED) } else { allowed };
            if !transport_failure.is_transient || tried > retries {
                return Err(*transport_failure.error);
            }
            let mut pause = retry::pause(&self.settings, tried, fastrand::f64());
            if is_first_contact {
                pause = pause.min(MAX_PAUSE_UNREACHED);
            }
            if let Some(retry_after) = transport_failure.retry_after.filter(|_| self.settings.respect_retry_after) {
                if !retry::is_acceptable_pause(retry_after) {
                    return Err(*transport_failure.error);
                }
                pause = retry_after;
            }
            sleep(pause);
            if may_be_duplicated && let Some(value) = find()? {
                return Ok((value, true));
            }
        }
    }

    /// One attempt.
    fn attempt<T>(
        &self,
        request: &Request,
        read: &dyn Fn(Response) -> Result<T, AttemptFailure>,
    ) -> Result<T, AttemptFailure> {
        // the login is for this server only
        let is_other_server = request.path.contains("://");
        let address = if is_other_server { request.path.clone() } else { format!("{}{}", self.base, request.path) };
        let mut builder = self.client.request(request.method.clone(), address).query(&request.query);
        if !is_other_server {
            builder = match &self.settings.login {
                Login::None => builder,
                Login::Basic(name, password) => builder.basic_auth(name, Some(password)),
                Login::Bearer(token) => builder.bearer_auth(token),
            };
        }
        builder = match &request.body {
            Body::None => builder,
            Body::Json(bytes) => builder.header(CONTENT_TYPE, "application/json").body(bytes.clone()),
            Body::Raw(bytes, headers) => builder.headers(header_map(headers)).body(bytes.clone()),
            Body::File(path, headers) => {
                let file = std::fs::File::open(path)
                    .map_err(TrackingError::io(path, "read it"))
                    .map_err(AttemptFailure::permanent)?;
                builder.headers(header_map(headers)).body(file)
            }
        };
        let response = builder.send().map_err(|error| self.transport_failure(request, &error))?;
        self.has_responded.store(true, Ordering::Relaxed);
        let status = response.status().as_u16();
        if response.status().is_success() {
            return read(response);
        }
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .filter(|_| retry::may_send_retry_after(status));
        let retry_after = retry_after.and_then(|value| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
            retry::retry_after(value, now)
        });
        let text = response.text().unwrap_or_default();
        let response =
            ServerError { base: &self.base, what: request.what, status, login: &self.settings.login, text: &text };
        let (error, is_permanent) = error::explain(&response, retry_after);
        Err(AttemptFailure {
            error: Box::new(error),
            is_transient: retry::is_transient(status) && !is_permanent,
            // a server that returns 429 or 503 has not begun to process the request
            may_be_duplicated: status >= 500 && status != 503,
            never_connected: false,
            retry_after,
        })
    }

    fn parse<T: DeserializeOwned>(&self, request: &Request, response: Response) -> Result<T, AttemptFailure> {
        let mut bytes = Vec::new();
        let mut limited = std::io::Read::take(response, MAX_RESPONSE_BYTES);
        std::io::Read::read_to_end(&mut limited, &mut bytes).map_err(|error| self.interrupted(request, &error))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| AttemptFailure::permanent(error::not_mlflow(&self.base, request.what, &bytes, &error)))
    }

    fn interrupted(&self, request: &Request, error: &std::io::Error) -> AttemptFailure {
        AttemptFailure {
            error: Box::new(TrackingError::Unreachable {
                server: self.base.clone(),
                what: request.what,
                cause: format!("the response was interrupted: {error}"),
            }),
            is_transient: true,
            may_be_duplicated: true,
            never_connected: false,
            retry_after: None,
        }
    }

    /// The failure of a request without a complete response.
    fn transport_failure(&self, request: &Request, error: &reqwest::Error) -> AttemptFailure {
        let never_connected = error.is_connect();
        let chain = error::chain(error);
        // a server with an untrusted certificate is not trusted at the next attempt either
        let is_untrusted = never_connected && chain.contains("certificate");
        let (server, what) = (self.base.clone(), request.what);
        let tracking_error = if is_untrusted {
            let reason = error::untrusted_certificate(&chain);
            TrackingError::RequestRejected { server, what, reason, code: None, status: 0 }
        } else {
            TrackingError::Unreachable { server, what, cause: error::cause(error, self.settings.timeout) }
        };
        AttemptFailure {
            error: Box::new(tracking_error),
            is_transient: !is_untrusted && !error.is_builder() && !error.is_redirect(),
            may_be_duplicated: !never_connected,
            never_connected,
            retry_after: None,
        }
    }
}

fn header_map(headers: &[(String, String)]) -> HeaderMap {
    let pair = |(name, value): &(String, String)| {
        Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
    };
    headers.iter().filter_map(pair).collect()
}
