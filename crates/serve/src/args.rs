//! The arguments as typed.

use std::{net::SocketAddr, path::PathBuf};

use batch_prediction::PredictArgs;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use cli::GlobalArgs;

/// Answer requests for predictions by a packaged model: an API, a page, metrics
#[derive(Debug, Parser)]
#[command(name = "serve", version, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The model: a bundle's folder or .tar.gz, models:/NAME@ALIAS or models:/NAME/VERSION of a registry
    #[arg(long, value_name = "MODEL", required = true)]
    pub(crate) model: Option<String>,

    /// The registry of models:/…: http://HOST:PORT or sqlite:///FILE.db. By default $MLFLOW_TRACKING_URI, or sqlite:///mlflow.db
    #[arg(long, value_name = "URI")]
    pub(crate) mlflow_tracking_uri: Option<String>,

    #[command(flatten)]
    pub(crate) listen: ListenArgs,

    #[command(flatten)]
    pub(crate) models: ModelArgs,

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
    /// Where the API and the page are; port 0 takes a free one, which the log names
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub(crate) listen: SocketAddr,

    /// Where metrics are on their own, without a key, with the probes; `none` for nowhere
    #[arg(long, value_name = "ADDRESS|none", default_value = "127.0.0.1:8001")]
    pub(crate) metrics_listen: String,

    /// Threads that serve connections and single rows. By default one a processor but for one, which is left to batches and the log
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,

    /// Seconds that requests under way are waited for after SIGTERM or SIGINT
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) grace: f64,

    /// Stop, as by SIGTERM, when standard input ends. A program that starts a server passes a pipe
    #[arg(long)]
    pub(crate) stop_with_stdin: bool,
}

#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Models")]
pub(crate) struct ModelArgs {
    /// The share of true values that an interval is to hold. By default what the bundle's model_config.yaml says, or 0.9
    #[arg(long, value_name = "SHARE")]
    pub(crate) coverage: Option<f64>,

    /// Look for another model every so many seconds: a moved alias, another bundle at the same path. SIGHUP looks at once
    #[arg(long, value_name = "SECONDS")]
    pub(crate) poll: Option<f64>,

    /// A second model beside the first, to be compared with it
    #[arg(long, value_name = "MODEL")]
    pub(crate) challenger: Option<String>,

    /// The share of requests that the challenger answers, 0 to 1. At 0 it answers none (but those with the header `x-model:
    /// challenger`): it predicts every row of /predict in the background, and the differences are in the metrics
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, requires = "challenger")]
    pub(crate) challenger_share: f64,

    /// The header by whose value callers are divided, so that one always gets the same model; by default each request by its id
    #[arg(long, value_name = "HEADER", requires = "challenger")]
    pub(crate) challenger_key: Option<String>,
}

#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Bytes of a body at most (413); lists of rows are read whole
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub(crate) max_body: usize,

    /// Bytes of a streamed body at most: CSV, NDJSON, Arrow
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 30)]
    pub(crate) max_stream: u64,

    /// Rows of a list at most (413)
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    pub(crate) max_rows: usize,

    /// Requests under way at most (503): from the last byte of the body to the last byte of the answer
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) max_in_flight: usize,

    /// Requests at most whose body has not come whole. Of more, the oldest of the address with most is refused (408)
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) max_unfinished: usize,

    /// Connections at most, or as many as the limit of open files allows; for another, the longest idle one is closed
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub(crate) max_connections: usize,

    /// Batches under way at most (503). By default two a processor
    #[arg(long, value_name = "N")]
    pub(crate) max_batches: Option<usize>,

    /// Seconds that a request may take to come, and a batch to be answered. A client that takes no byte of its answer for as long is
    /// disconnected. Streams may go on while rows flow
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub(crate) timeout: f64,

    /// Requests a second that one caller (one name of keys, or one address) may make (429)
    #[arg(long, value_name = "N")]
    pub(crate) rate_limit: Option<f64>,
}

#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// A file with keys, one a line, each with its caller's name before it or alone: requests need one in `x-api-key` or `authorization:
    /// Bearer`. By default $SERVE_API_KEY; without either nobody is asked
    #[arg(long, value_name = "FILE")]
    pub(crate) api_keys: Option<PathBuf>,

    /// A proxy, or a network of them, whose `x-forwarded-for` says which address asks; may be given several times
    #[arg(long, value_name = "CIDR")]
    pub(crate) trusted_proxy: Vec<String>,

    /// A page elsewhere that may call the API from a browser, such as https://houses.example; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
}

#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Records")]
pub(crate) struct RecordArgs {
    /// Which requests are in the log
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    pub(crate) log_requests: LogRequests,

    /// Keep predictions and true values in this folder, as NDJSON
    #[arg(long, value_name = "DIR")]
    pub(crate) log_predictions: Option<PathBuf>,

    /// Closed files of predictions (64 MiB each) that stay
    #[arg(long, value_name = "N", default_value_t = 20, requires = "log_predictions")]
    pub(crate) keep_predictions: usize,

    /// Rows that drift is measured on: the last ones
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) drift_window: u64,
}

/// Which requests are in the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogRequests {
    /// Every one
    #[default]
    All,
    /// Those answered with a status of 400 and above
    Failed,
    /// None
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Predict the target of the rows of a file
    Predict(PredictArgs),
    /// Load a model as the server would, predict a typical row by it, and end (exit 1 if there is none, or it is not sound)
    Check(CheckArgs),
    /// Ask a server on this machine whether it is ready (exit 1 if not): what a container's health check runs
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
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub(crate) address: SocketAddr,

    /// Seconds that it may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) timeout: f64,
}
