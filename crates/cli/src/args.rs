//! The flags that all programs take.

use clap::{ArgAction, Args, ValueEnum};

/// Flags that all programs take, before or after a subcommand.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Say nothing but errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more on stderr
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Draw no progress bars (none are drawn where stderr is not a terminal)
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// How the result is written to stdout
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output_format: OutputFormat,

    /// Run even if the outputs are up to date
    #[arg(long, global = true)]
    pub force: bool,

    /// Write shell completions, a man page or a Markdown reference to stdout, and do nothing else. A shell may be named:
    /// `completions=zsh`; otherwise it is taken from $SHELL
    #[arg(long, global = true, value_name = "completions|man|markdown")]
    pub generate: Option<String>,
}

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum OutputFormat {
    /// A summary for people
    #[default]
    Human,
    /// One line of JSON
    Json,
}
