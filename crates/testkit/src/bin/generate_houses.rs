//! Writes a house table of any size.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;

/// Make up a house table from a seed; `data/raw/house_data.csv` is 2,000 rows of seed 2026
#[derive(Parser)]
struct Args {
    /// Rows to write
    #[arg(long, default_value_t = 2000)]
    rows: u64,

    /// Another seed gives other houses
    #[arg(long, default_value_t = 2026)]
    seed: u64,

    /// How dirty the table is
    #[arg(long, value_enum, default_value_t)]
    dirt: testkit::Dirt,

    /// The CSV file to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let write = || {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&args.output)?);
        testkit::write_houses(&mut out, args.rows, args.seed, args.dirt)?;
        out.flush()
    };
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {}: {error}", args.output.display());
            ExitCode::from(2)
        }
    }
}
