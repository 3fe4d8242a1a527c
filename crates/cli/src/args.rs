//! Flags of all programs.

use clap::{ArgAction, Args, ValueEnum};

/// Flags of all programs, before or after a subcommand.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Print only errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Print more on stderr
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Show no progress bars (default if stderr is not a terminal)
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// Format of the result on stdout
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output_format: OutputFormat,

    /// Run even if the outputs are up to date
    #[arg(long, global = true)]
    pub force: bool,

    /// Write shell completions, a man page or a Markdown reference to stdout, and exit. `completions=zsh` names a shell; the default is
    /// that of $SHELL
    #[arg(long, global = true, value_name = "completions|man|markdown")]
    pub generate: Option<String>,
}

/// Format of a result.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum OutputFormat {
    /// A summary for people
    #[default]
    Human,
    /// One line of JSON
    Json,
}
