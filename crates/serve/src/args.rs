//! The command-line arguments.

use std::{net::SocketAddr, path::PathBuf};

use batch_prediction::PredictArgs;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use cli::GlobalArgs;

/// Serve predictions of a packaged model over HTTP: an API, a page, and metrics
#[derive(Debug, Parser)]
#[command(name = "serve", version, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Serve this model: a bundle's folder or .tar.gz, models:/NAME@ALIAS or models:/NAME/VERSION of a registry
    #[arg(long, value_name = "MODEL", required = true)]
    pub(crate) model: Option<String>,

    /// Use this registry for models:/…: http://HOST:PORT or sqlite:///FILE.db. By default $MLFLOW_TRACKING_URI, or sqlite:///mlflow.db
    #[arg(long, value_name = "URI")]
    pub(crate) mlflow_tracking_uri: Option<String>,

    #[command(flatten)]
    pub(crate) listen: ListenArgs,

    #[command(flatten)]
    pub(crate) models: ServedModelArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) records: RecordArgs,

    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl Args {
    /// The flags that all programs take.
    pub fn global(&self) -> &GlobalArgs {
        &self.global
    }
}

#[derive(ClapArgs, Debug)]
pub(crate) struct ListenArgs {
    /// Serve the API and the page on this address; port 0 selects a free port, which is logged
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,

    /// Serve metrics and probes without an API key on this address, or `none`
    #[arg(long, value_name = "ADDRESS|none", default_value = "127.0.0.1:8001")]
    pub(crate) metrics_listen: String,

    /// Use this many threads for connections and single rows. By default one less than there are processors
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,

    /// Wait at most this long for requests under way after SIGTERM or SIGINT
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) grace: f64,

    /// Stop like on SIGTERM when standard input ends. A program that starts a server passes a pipe
    #[arg(long)]
    pub(crate) stop_with_stdin: bool,
}

#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Models")]
pub(crate) struct ServedModelArgs {
    /// Set the coverage of prediction intervals. By default that in the bundle's model_config.yaml, or 0.9
    #[arg(long, value_name = "SHARE")]
    pub(crate) coverage: Option<f64>,

    /// Check for a new model at this interval: a moved alias, another bundle at the same path. SIGHUP checks at once
    #[arg(long, value_name = "SECONDS")]
    pub(crate) poll: Option<f64>,

    /// Deploy a second model beside the first, for comparison
    #[arg(long, value_name = "MODEL")]
    pub(crate) challenger: Option<String>,

    /// Let the challenger serve this share of requests, 0 to 1. At 0 it serves only requests with the header `x-model: challenger`. It
    /// then predicts every row of /predict in the background, and the metrics contain the differences
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, requires = "challenger")]
    pub(crate) challenger_share: f64,

    /// Route by the value of this header, so that a client always gets the same model. By default by the request id
    #[arg(long, value_name = "HEADER", requires = "challenger")]
    pub(crate) challenger_key: Option<String>,
}

#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Reject larger bodies (413); lists of rows are read completely
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub(crate) max_body: usize,

    /// Reject larger streamed bodies: CSV, NDJSON, Arrow
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 30)]
    pub(crate) max_stream: u64,

    /// Reject lists of more rows (413)
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    pub(crate) max_rows: usize,

    /// Limit the requests under way, from the last byte of the body to the last byte of the response (503)
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) max_in_flight: usize,

    /// Limit the requests with an incomplete body. Above the limit, the oldest of the address with the most is rejected (408)
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) max_unfinished: usize,

    /// Limit the connections, also to what the limit of open files allows. A new one closes the one that was idle longest
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub(crate) max_connections: usize,

    /// Limit the concurrent batches (503). By default two per processor
    #[arg(long, value_name = "N")]
    pub(crate) max_batches: Option<usize>,

    /// Limit the time for a request to arrive, and for a batch to be processed. A client that reads no byte of its response for this
    /// long is disconnected. Streams may take longer while rows arrive
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) timeout: f64,

    /// Limit the requests per second of a caller, which is a name of keys or an address (429)
    #[arg(long, value_name = "N")]
    pub(crate) rate_limit: Option<f64>,
}

#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// Read API keys from this file: one KEY or NAME KEY per line. Requests need one in `x-api-key` or `authorization: Bearer`. By
    /// default $SERVE_API_KEY; without either no key is needed
    #[arg(long, value_name = "FILE")]
    pub(crate) api_keys: Option<PathBuf>,

    /// Trust `x-forwarded-for` of this proxy or network to name the client's address; may be given several times
    #[arg(long, value_name = "CIDR")]
    pub(crate) trusted_proxy: Vec<String>,

    /// Allow pages of this origin to call the API, such as https://houses.example; may be given several times
    #[allow(rustdoc::bare_urls, reason = "this is also the text of --help")]
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
}

#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Records")]
pub(crate) struct RecordArgs {
    /// Log these requests
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    pub(crate) log_requests: LogRequests,

    /// Write predictions and actual values to this folder, as NDJSON
    #[arg(long, value_name = "DIR")]
    pub(crate) log_predictions: Option<PathBuf>,

    /// Keep this many closed files of predictions (64 MiB each)
    #[arg(long, value_name = "N", default_value_t = 20, requires = "log_predictions")]
    pub(crate) keep_predictions: usize,

    /// Compute drift on this many last rows
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) drift_window: u64,
}

/// The requests that are logged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogRequests {
    /// All requests
    #[default]
    All,
    /// Requests with a status of 400 or above
    Failed,
    /// No requests
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Predict the target of the rows of a file
    Predict(PredictArgs),
    /// Load a model like the server, predict a typical row, and exit (exit 1 if it is absent or invalid)
    Check(CheckArgs),
    /// Request the readiness of a local server (exit 1 if not ready), for the health check of a container
    Healthcheck(HealthcheckArgs),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct CheckArgs {
    /// The model, as for the server
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,

    /// The registry of models:/…
    #[arg(long, value_name = "URI")]
    pub(crate) mlflow_tracking_uri: Option<String>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct HealthcheckArgs {
    /// The address of the server
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub(crate) address: SocketAddr,

    /// Wait at most this long for the response
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) timeout: f64,
}
