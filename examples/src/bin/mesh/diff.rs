//! `mesh diff`: for whom and for which calls a change of configuration changes something.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use mesh_examples::offline;
use mesh_routing::simulation::{DiffLimits, Simulation, diff};

use crate::check::{CANNOT_READ, Output};

/// Ends with 0 if nothing changes, 1 if something does, 2 if something cannot be read.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// A directory or file of the configuration as it is
    old: PathBuf,
    /// A directory or file of the configuration as it shall be
    new: PathBuf,
    /// The most requests that are asked of both
    #[arg(long, default_value_t = DiffLimits::default().requests)]
    limit: usize,
    /// For a person or for a program
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Compares two configurations.
pub(crate) fn run(asked: &Diff) -> ExitCode {
    let mut sides = Vec::new();
    for path in [&asked.old, &asked.new] {
        match offline::load(std::slice::from_ref(path)) {
            Ok(loaded) => {
                let errors = loaded.problems.iter().filter(|problem| problem.is_error());
                // What is broken is left out on that side, and compared as if it were not there.
                errors.for_each(|problem| eprintln!("mesh: {problem}"));
                sides.push(Simulation::new(loaded.mesh));
            }
            Err(error) => {
                eprintln!("mesh: {error}");
                return CANNOT_READ.into();
            }
        }
    }
    let limits = DiffLimits {
        requests: asked.limit,
        ..DiffLimits::default()
    };
    let found = diff(&sides[0], &sides[1], limits);
    let text = match asked.output {
        Output::Json => format!("{:#}\n", serde_json::json!(found)),
        Output::Text => found.to_string(),
    };
    let mut out = io::stdout();
    // A reader that went away changes nothing of what was found.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match found.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
