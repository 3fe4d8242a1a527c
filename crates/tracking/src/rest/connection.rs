//! One server: requests to it, made again where that is safe and may help.

use std::{
    path::{Path, PathBuf},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
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
        error::{self, Refusal},
        http_config::{HttpSettings, Login},
        retry,
    },
};

/// A server that was never reached is given up sooner than one that answered before: the run is kept elsewhere.
const RETRIES_AT_FIRST: u32 = 2;
const PAUSE_AT_FIRST: Duration = Duration::from_secs(1);
/// No answer in JSON is longer.
const LONGEST_ANSWER: u64 = 256 << 20;

/// What is asked of a server.
#[derive(Debug)]
pub(super) struct Request {
    /// What it is for, such as `creating the run`.
    pub(super) what: &'static str,
    pub(super) method: Method,
    /// Below the server's address.
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Body,
    /// Attempts after the first at most, where a fault that looks passing may well be for good.
    pub(super) retries: Option<u32>,
}

/// What goes with a request.
#[derive(Debug)]
pub(super) enum Body {
    None,
    Json(Vec<u8>),
    /// Bytes as they are, with headers.
    Raw(Vec<u8>, Vec<(String, String)>),
    /// The content of a file, read anew by every attempt.
    File(std::path::PathBuf, Vec<(String, String)>),
}

impl Request {
    /// A request for reading.
    pub(super) fn get(what: &'static str, path: &str, query: Vec<(&'static str, String)>) -> Self {
        Self { what, method: Method::GET, path: api(path), query, body: Body::None, retries: None }
    }

    /// A request with a body in JSON.
    pub(super) fn json(what: &'static str, method: Method, path: &str, body: &impl Serialize) -> Self {
        let body = Body::Json(serde_json::to_vec(body).unwrap_or_default());
        Self { what, method, path: api(path), query: Vec::new(), body, retries: None }
    }

    /// The same with `POST`.
    pub(super) fn post(what: &'static str, path: &str, body: &impl Serialize) -> Self {
        Self::json(what, Method::POST, path, body)
    }
}

fn api(path: &str) -> String {
    format!("/api/2.0/mlflow/{path}")
}

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Box<TrackingError>,
    /// Whether another attempt may do better.
    transient: bool,
    /// Whether the server may have done what was asked.
    pub(super) doubtful: bool,
    /// Whether nobody was reached.
    unreached: bool,
    /// How long the server asks to wait.
    wait: Option<Duration>,
}

impl Failure {
    pub(super) fn last(error: TrackingError) -> Self {
        Self { error: Box::new(error), transient: false, doubtful: false, unreached: false, wait: None }
    }
}

/// A server's address and how it is talked to.
#[derive(Debug)]
pub(super) struct Connection {
    /// As a user writes it, without login and without a slash at the end.
    base: String,
    client: Client,
    settings: HttpSettings,
    /// Whether it ever answered.
    answered: AtomicBool,
}

impl Connection {
    /// For the server at `base`; asks nothing yet.
    pub(super) fn new(base: &str, settings: &HttpSettings) -> Result<Self, TrackingError> {
        let refused = || TrackingError::Location { uri: base.to_owned() };
        let mut url = Url::parse(base).map_err(|_| refused())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(refused());
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
            answered: AtomicBool::new(false),
        })
    }

    /// The server's address.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks for something that may be asked for twice.
    pub(super) fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<T, TrackingError> {
        self.repeat(request, &|| self.attempt(request, &|response| self.parse(request, response)), &mut || Ok(None))
            .map(|(found, _)| found)
    }

    /// Asks for something whose answer does not matter.
    pub(super) fn tell(&self, request: &Request) -> Result<(), TrackingError> {
        self.repeat(request, &|| self.attempt(request, &|_| Ok(())), &mut || Ok(None)).map(|((), _)| ())
    }

    /// Asks for something that would be made twice if it were asked for twice: before another attempt `find` looks whether the one
    /// before has made it. Returns whether an attempt is left of which nobody knows what became.
    pub(super) fn create<T: DeserializeOwned>(
        &self,
        request: &Request,
        find: &mut dyn FnMut() -> Result<Option<T>, TrackingError>,
    ) -> Result<(T, bool), TrackingError> {
        self.repeat(request, &|| self.attempt(request, &|response| self.parse(request, response)), find)
    }

    /// Writes what is answered to `to`, `limit` bytes at most.
    pub(super) fn download(&self, request: &Request, to: &Path, limit: u64) -> Result<(), TrackingError> {
        let save = |response: Response| {
            let mut file = artifact::AtomicFile::create(to).map_err(|error| Failure::last(error.into()))?;
            // one more than the limit, so that too much is noticed
            let mut limited = std::io::Read::take(response, limit.saturating_add(1));
            let copied = std::io::copy(&mut limited, &mut file);
            let copied = copied.map_err(|error| match error.get_ref().and_then(|cause| cause.downcast_ref()) {
                Some(error) => self.failure(request, error),
                None => self.broken_off(request, &error),
            })?;
            if copied > limit {
                let cause =
                    std::io::Error::other(format!("the server sends more than the {limit} bytes that such a file may have"));
                return Err(Failure::last(TrackingError::io(to, "write it")(cause)));
            }
            file.commit().map(|_| ()).map_err(|error| Failure::last(error.into()))
        };
        self.repeat(request, &|| self.attempt(request, &save), &mut || Ok(None)).map(|((), _)| ())
    }

    /// Makes attempts until one succeeds, none is left, or another would be of no use.
    fn repeat<T>(
        &self,
        request: &Request,
        attempt: &dyn Fn() -> Result<T, Failure>,
        find: &mut dyn FnMut() -> Result<Option<T>, TrackingError>,
    ) -> Result<(T, bool), TrackingError> {
        let mut doubtful = false;
        let mut tried = 0;
        loop {
            let failure = match attempt() {
                Ok(found) => return Ok((found, doubtful)),
                Err(failure) => failure,
            };
            doubtful |= failure.doubtful;
            tried += 1;
            let at_first = failure.unreached && !self.answered.load(Ordering::Relaxed);
            let allowed = request.retries.unwrap_or(u32::MAX).min(self.settings.max_retries);
            let retries = if at_first { allowed.min(RETRIES_AT_FIRST) } else { allowed };
            if !failure.transient || tried > retries {
                return Err(*failure.error);
            }
            let mut pause = retry::pause(&self.settings, tried, fastrand::f64());
            if at_first {
                pause = pause.min(PAUSE_AT_FIRST);
            }
            if let Some(wait) = failure.wait.filter(|_| self.settings.respect_retry_after) {
                if !retry::is_patient(wait) {
                    return Err(*failure.error);
                }
                pause = wait;
            }
            sleep(pause);
            if doubtful && let Some(found) = find()? {
                return Ok((found, true));
            }
        }
    }

    /// One attempt.
    fn attempt<T>(&self, request: &Request, read: &dyn Fn(Response) -> Result<T, Failure>) -> Result<T, Failure> {
        // a login is for this server alone
        let elsewhere = request.path.contains("://");
        let address = if elsewhere { request.path.clone() } else { format!("{}{}", self.base, request.path) };
        let mut asking = self.client.request(request.method.clone(), address).query(&request.query);
        if !elsewhere {
            asking = match &self.settings.login {
                Login::None => asking,
                Login::Basic(name, password) => asking.basic_auth(name, Some(password)),
                Login::Bearer(token) => asking.bearer_auth(token),
            };
        }
        asking = match &request.body {
            Body::None => asking,
            Body::Json(bytes) => asking.header(CONTENT_TYPE, "application/json").body(bytes.clone()),
            Body::Raw(bytes, headers) => asking.headers(map(headers)).body(bytes.clone()),
            Body::File(path, headers) => {
                let file = std::fs::File::open(path).map_err(TrackingError::io(path, "read it")).map_err(Failure::last)?;
                asking.headers(map(headers)).body(file)
            }
        };
        let response = asking.send().map_err(|error| self.failure(request, &error))?;
        self.answered.store(true, Ordering::Relaxed);
        let status = response.status().as_u16();
        if response.status().is_success() {
            return read(response);
        }
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .filter(|_| retry::may_ask_to_wait(status));
        let wait = wait.and_then(|value| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
            retry::retry_after(value, now)
        });
        let text = response.text().unwrap_or_default();
        let refusal = Refusal { base: &self.base, what: request.what, status, login: &self.settings.login, text: &text };
        let (error, hopeless) = error::explain(&refusal, wait);
        Err(Failure {
            error: Box::new(error),
            transient: retry::is_transient(status) && !hopeless,
            // a server that answers 429 or 503 has not begun
            doubtful: status >= 500 && status != 503,
            unreached: false,
            wait,
        })
    }

    fn parse<T: DeserializeOwned>(&self, request: &Request, response: Response) -> Result<T, Failure> {
        let mut bytes = Vec::new();
        let mut limited = std::io::Read::take(response, LONGEST_ANSWER);
        std::io::Read::read_to_end(&mut limited, &mut bytes).map_err(|error| self.broken_off(request, &error))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::last(error::not_mlflow(&self.base, request.what, &bytes, &error)))
    }

    fn broken_off(&self, request: &Request, error: &std::io::Error) -> Failure {
        Failure {
            error: Box::new(TrackingError::Unreachable {
                server: self.base.clone(),
                what: request.what,
                cause: format!("the answer broke off: {error}"),
            }),
            transient: true,
            doubtful: true,
            unreached: false,
            wait: None,
        }
    }

    /// Nobody answered, or not to the end.
    fn failure(&self, request: &Request, error: &reqwest::Error) -> Failure {
        let unreached = error.is_connect();
        let chain = error::chain(error);
        // whoever is reached and cannot be trusted will not be at the next attempt
        let distrusted = unreached && chain.contains("certificate");
        let (server, what) = (self.base.clone(), request.what);
        let error_said = if distrusted {
            let reason = error::distrusted(&chain);
            TrackingError::Refused { server, what, reason, code: None, status: 0 }
        } else {
            TrackingError::Unreachable { server, what, cause: error::cause(error, self.settings.timeout) }
        };
        Failure {
            error: Box::new(error_said),
            transient: !distrusted && !error.is_builder() && !error.is_redirect(),
            doubtful: !unreached,
            unreached,
            wait: None,
        }
    }
}

fn map(headers: &[(String, String)]) -> HeaderMap {
    let pair = |(name, value): &(String, String)| {
        Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
    };
    headers.iter().filter_map(pair).collect()
}

/// The variables that name certificates.
const SERVER: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";
const CLIENT: &str = "MLFLOW_TRACKING_CLIENT_CERT_PATH";

/// Chooses what encrypts connections of this program, once. Clients of servers cannot be made before.
pub fn choose_cryptography() {
    static CRYPTOGRAPHY: Once = Once::new();
    CRYPTOGRAPHY.call_once(|| {
        // someone else in the program may have chosen before
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn client(settings: &HttpSettings) -> Result<Client, TrackingError> {
    choose_cryptography();
    let fault = |name: &str| {
        let name = name.to_owned();
        move |error: reqwest::Error| TrackingError::Variable {
            name,
            reason: format!("cannot be used: {}", error::chain(&error)),
        }
    };
    let read = |name: &str, path: &Path| {
        std::fs::read(path).map_err(|error| TrackingError::Variable {
            name: name.to_owned(),
            reason: format!("names {}, which cannot be read: {error}", path.display()),
        })
    };
    let mut headers = HeaderMap::new();
    if let Some(workspace) = settings.workspace.as_deref().and_then(|name| HeaderValue::try_from(name).ok()) {
        headers.insert("x-mlflow-workspace", workspace);
    }
    let pem = |name: &str, path: &Option<PathBuf>| path.as_deref().map(|path| read(name, path)).transpose();
    let (roots, identity) = (pem(SERVER, &settings.server_certificates)?, pem(CLIENT, &settings.client_certificate)?);
    let roots = roots.map(|pem| reqwest::Certificate::from_pem_bundle(&pem)).transpose().map_err(fault(SERVER))?;
    let identity = identity.map(|pem| reqwest::Identity::from_pem(&pem)).transpose().map_err(fault(CLIENT))?;
    let builder = |roots: Option<Vec<reqwest::Certificate>>| {
        let mut builder = Client::builder()
            .user_agent(concat!("house-price-predictor/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers.clone())
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .tls_danger_accept_invalid_certs(settings.insecure_tls)
            .redirect(if settings.redirects {
                reqwest::redirect::Policy::default()
            } else {
                reqwest::redirect::Policy::none()
            });
        if let Some(roots) = roots {
            builder = builder.tls_certs_only(roots);
        }
        if let Some(identity) = identity.clone() {
            builder = builder.identity(identity);
        }
        builder
    };
    let made = match builder(roots).build() {
        // a container may hold our program and nothing else, and a client without roots cannot even be made for http://
        Err(_) if settings.server_certificates.is_none() => builder(Some(mozillas()?)).build(),
        made => made,
    };
    // what is left to be found fault with is a certificate
    let name = if settings.client_certificate.is_some() { CLIENT } else { SERVER };
    made.map_err(fault(name))
}

/// The roots that Mozilla trusts, as of when the program was built.
fn mozillas() -> Result<Vec<reqwest::Certificate>, TrackingError> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| reqwest::Certificate::from_der(der));
    roots.collect::<Result<_, _>>().map_err(|error| TrackingError::Variable {
        name: SERVER.to_owned(),
        reason: format!("is needed, since neither the system nor this program has roots to trust: {error}"),
    })
}

/// A client for servers of our own on this machine: no proxy, no TLS.
///
/// # Errors
/// If it cannot be made.
pub fn loopback_client(timeout: Duration) -> Result<Client, reqwest::Error> {
    choose_cryptography();
    Client::builder().no_proxy().tls_certs_only([]).timeout(timeout).build()
}
